#!/usr/bin/env python3
"""The description of the HTTP API, gateway/openapi.json, in its other forms:

    scripts/openapi.py header VERSION SOURCE OUT    what the gateway serves, as a C string
    scripts/openapi.py yaml SOURCE OUT              docs/openapi.yaml
    scripts/openapi.py check SOURCE YAML            whether that is up to date

Standard library only: the build runs it.
"""
import json
import re
import sys

LINE = 100                      # characters of a C string on one line
PLAIN = re.compile(r"[A-Za-z/$][A-Za-z0-9 _./{}$#'()-]*")
WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def scalar(value):
    """Plain where nobody can misread it; JSON's quoting is YAML's too."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and " #" not in value and \
            not value.endswith(" ") and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def yaml_lines(value, indent):
    """Lines of a block that is not empty, none of which knows where it stands."""
    pad = "  " * indent
    if isinstance(value, dict):
        entries = [(f"{scalar(key)}:", each) for key, each in value.items()]
    else:
        entries = [("-", each) for each in value]
    for head, each in entries:
        if not isinstance(each, (dict, list)) or not each:
            yield f"{pad}{head} {scalar(each)}"
        elif isinstance(each, list) and not any(isinstance(item, (dict, list)) for item in each):
            yield f"{pad}{head} [{', '.join(json.dumps(item, ensure_ascii=False) for item in each)}]"
        elif head == "-":
            first, *rest = yaml_lines(each, indent + 1)
            yield f"{pad}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{pad}{head}"
            yield from yaml_lines(each, indent + 1)


def to_yaml(document):
    head = "# Made from gateway/openapi.json by scripts/openapi.py; change that one.\n"
    return head + "\n".join(yaml_lines(document, 0)) + "\n"


def to_header(document, version):
    document["info"]["version"] = version
    text = json.dumps(document, separators=(",", ":"))
    pieces = [text[at:at + LINE] for at in range(0, len(text), LINE)]
    strings = "\n".join('\t"%s"' % piece.replace("\\", "\\\\").replace('"', '\\"') for piece in pieces)
    return f"/* Made by scripts/openapi.py. */\nstatic const char openapi_json[] =\n{strings};\n"


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    match sys.argv[1:]:
        case ["header", version, source, out]:
            write(out, to_header(load(source), version))
        case ["yaml", source, out]:
            write(out, to_yaml(load(source)))
        case ["check", source, path]:
            with open(path, encoding="utf-8") as file:
                if file.read() != to_yaml(load(source)):
                    sys.exit(f"{path} is not what {source} makes: run scripts/openapi.py yaml {source} {path}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
