#!/usr/bin/env python3
"""Makes manuals and shell completions from the tables of the command line, as
cli/tables.c prints them. Runs while building.

    scripts/generate.py man TABLES TEMPLATE
    scripts/generate.py bash|zsh|fish TABLES

A template is mdoc, with these lines:
    @command NAME        the .It of a command: its name, alias and arguments
    @flags NAME          the list of its flags, up to @end; between them
    @flag NAME           begins what is said of a flag in place of its help text
    @settings            the list of the server's settings, up to @end; between them
    @setting NAME        begins what is said of a setting in place of its help text
What a template names must be in the tables, and every command and flag in the template.
"""
import json
import re
import sys


class Mistake(Exception):
    pass


# ---- manuals ----

def sentence(text):
    return text[:1].upper() + text[1:] + "."


def arguments(text):
    """"MODEL [PROMPT]" -> "Ar model Op Ar prompt"."""
    words = []
    for word in text.split():
        words.append("Op Ar " + word[1:-1].lower() if word.startswith("[") else "Ar " + word.lower())
    return " ".join(words)


def flag_item(flag):
    names = (f"{flag['letter']} , " if flag["letter"] else "") + "-" + flag["name"]
    if "choices" in flag:
        return f".It Fl {names} Cm {flag['choices'].replace(' ', ' | ')}"
    return f".It Fl {names}" + (f" Ar {flag['word']}" if flag["value"] else "")


def setting_text(setting, prose):
    default = f"The default is {setting['default']}." if setting["default"] else ""
    return [*(prose or [sentence(setting["help"])]), *([default] if default and not prose else [])]


def read_block(lines, mark):
    """Lines up to @end -> {name: prose} of the items that "@mark NAME" begin."""
    items, name = {}, None
    for line in lines:
        words = line.split()
        if words[:1] == ["@end"]:
            return items
        if words[:1] == [mark] and len(words) == 2:
            name = words[1]
            items[name] = []
        elif line.startswith("@") or name is None:
            raise Mistake(f"'{line}' inside a block of {mark}")
        else:
            items[name].append(line)
    raise Mistake(f"a block of {mark} has no @end")


def print_items(rows, items, item, text):
    unknown = set(items) - {row["name"] for row in rows}
    if unknown:
        raise Mistake(f"the template speaks of {sorted(unknown)}, which no table has")
    out = [".Bl -tag -width Ds"] if rows else []
    for row in rows:
        out += [item(row), *text(row, items.get(row["name"]))]
    return out + ([".El"] if rows else [])


def man(tables, template):
    commands = {c["name"]: c for c in tables["commands"]}
    missing = {c["name"] for c in tables["commands"] if not c["hidden"]}
    out, lines = [], iter(template.splitlines())
    told = set()
    for line in lines:
        directive, _, name = line.partition(" ")
        if directive in ("@command", "@flags") and name not in commands:
            raise Mistake(f"'{line}': there is no such command")
        if directive == "@command":
            command = commands[name]
            names = name + (f" , {command['alias']}" if "alias" in command else "")
            out.append(f".It Cm {names} {arguments(command['arguments'])}".rstrip())
            missing.discard(name)
            told.add(name)
        elif directive == "@flags":
            told.discard(name)
            out += print_items(commands[name]["flags"], read_block(lines, "@flag"), flag_item,
                               lambda flag, prose: prose or [sentence(flag["help"])])
        elif directive == "@settings":
            out += print_items(tables["settings"], read_block(lines, "@setting"),
                               lambda s: f".It Ev EASEL_{s['name']}", setting_text)
        elif line.startswith("@"):
            raise Mistake(f"'{line}': unknown directive")
        else:
            out.append(line)
    silent = sorted(name for name in told if commands[name]["flags"])
    if silent:
        raise Mistake(f"the template has no @flags of {silent}")
    if missing and "@command" in template:
        raise Mistake(f"the template lacks the commands {sorted(missing)}")
    return "\n".join(out) + "\n"


# ---- completions ----

IMAGES = ["png", "jpg", "jpeg", "webp"]


def visible(tables):
    return [c for c in tables["commands"] if not c["hidden"]]


def flags_of(command):
    return [*command["flags"], {"name": "help", "letter": "h", "value": False, "help": f"help for {command['name']}"}]


def names_of(command):
    return [command["name"], *([command["alias"]] if "alias" in command else [])]


def kind_of(flag):
    """What completes the value: "words a b", "file", ..., "any"."""
    words = flag.get("choices") or flag.get("offers")
    return "words " + words if words else flag["completion"] or "any"


BASH = r"""# bash completion for easel. Made by scripts/generate.py: do not edit.

# The words up to the cursor, whole: readline breaks them at ":" and "=".
_easel_split()
{
	local rest=${COMP_LINE:0:COMP_POINT} token i

	easel_words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		[[ $i -eq 0 || $rest == [[:space:]]* ]] && easel_words+=("")
		rest=${rest#"${rest%%[![:space:]]*}"}
		token=${COMP_WORDS[i]}
		[[ $i -eq $COMP_CWORD ]] && token=$rest
		easel_words[${#easel_words[@]} - 1]+=$token
		rest=${rest#"$token"}
	done
}

_easel_flags()
{
	case $1 in
@FLAGS@	*) echo "--help --version" ;;
	esac
}

# What completes the value of a flag of a command; nothing when it takes none.
_easel_value()
{
	case "$1 $2" in
@VALUES@	esac
}

# What completes an argument of a command: the first one, or one behind it.
_easel_argument()
{
	case "$1 $2" in
@ARGUMENTS@	esac
}

_easel_add_words()
{
	local current=$1 word

	shift
	for word; do
		[[ $word == "$current"* ]] && COMPREPLY+=("$word")
	done
}

# Names come from a server: they are never expanded.
_easel_add_models()
{
	local name

	while IFS= read -r name; do
		[[ $name == "$2"* ]] && COMPREPLY+=("$name")
	done < <("$1" __names 2>/dev/null)
}

# -d folders, -f files; of the types named, if any.
_easel_add_files()
{
	local current=$1 type found

	compopt -o filenames 2>/dev/null
	while IFS= read -r found; do
		COMPREPLY+=("$found")
	done < <(compgen -d -- "$current")
	[[ $2 == folder ]] && return
	for type in @IMAGES@; do
		while IFS= read -r found; do
			[[ -d $found ]] || COMPREPLY+=("$found")
		done < <(if [[ $2 == image ]]; then
				compgen -f -X "!*.$type" -- "$current"
			elif [[ $type == png ]]; then
				compgen -f -- "$current"
			fi)
	done
}

_easel_add()
{
	local program=$1 kind=$2 current=$3

	case $kind in
	words*)
		# shellcheck disable=SC2086 # a list of our own
		_easel_add_words "$current" ${kind#words }
		;;
	command) _easel_add_words "$current" @COMMANDS@ ;;
	model) _easel_add_models "$program" "$current" ;;
	model_or_image)
		_easel_add_models "$program" "$current"
		_easel_add_files "$current" image
		;;
	file | folder | image) _easel_add_files "$current" "$kind" ;;
	esac
}

_easel()
{
	local easel_words current command='' flag='' n=0 i kind cut=''

	COMPREPLY=()
	_easel_split
	current=${easel_words[${#easel_words[@]} - 1]}
	for ((i = 1; i < ${#easel_words[@]} - 1; i++)); do
		local word=${easel_words[i]}

		if [[ -n $flag ]]; then
			flag=''
		elif [[ $word == -* && $word != *=* ]]; then
			[[ -n $(_easel_value "$command" "$word") ]] && flag=$word
		elif [[ $word != -* && -z $command ]]; then
			command=$word
		elif [[ $word != -* ]]; then
			n=1
		fi
	done

	if [[ -z $flag && $current == --*=* ]]; then
		flag=${current%%=*}
		current=${current#*=}
		[[ $COMP_WORDBREAKS != *=* ]] && cut="$flag="
	fi
	if [[ -n $flag ]]; then
		kind=$(_easel_value "$command" "$flag")
	elif [[ $current == -* ]]; then
		kind="words $(_easel_flags "$command")"
	elif [[ -z $command ]]; then
		kind="command"
	else
		kind=$(_easel_argument "$command" "$n")
	fi
	_easel_add "$1" "$kind" "$current"

	# What stands before the last ":" is no part of the word for readline.
	if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
		for i in "${!COMPREPLY[@]}"; do
			COMPREPLY[i]=${COMPREPLY[i]#"${current%"${current##*:}"}"}
		done
	fi
	[[ -z $cut ]] || COMPREPLY=("${COMPREPLY[@]/#/$cut}")
}

complete -F _easel easel
"""


def bash(tables):
    flags, values, args = "", "", ""
    for command in visible(tables):
        pattern = " | ".join(names_of(command))
        flags += f'\t{pattern}) echo "{" ".join("--" + f["name"] for f in flags_of(command))}" ;;\n'
        for flag in flags_of(command):
            if flag["value"]:
                forms = [f'"{name} {form}"' for name in names_of(command)
                         for form in ["--" + flag["name"], *(["-" + flag["letter"]] if flag["letter"] else [])]]
                values += f'\t{" | ".join(forms)}) echo "{kind_of(flag)}" ;;\n'
        for number, kind in enumerate(command["completions"]):
            if kind:
                forms = [f'"{name} {number}"' for name in names_of(command)]
                args += f'\t{" | ".join(forms)}) echo "{kind}" ;;\n'
    names = " ".join(name for c in visible(tables) for name in names_of(c)[:1])
    return (BASH.replace("@FLAGS@", flags).replace("@VALUES@", values).replace("@ARGUMENTS@", args)
            .replace("@COMMANDS@", names).replace("@IMAGES@", " ".join(IMAGES)))


def zsh_text(text):
    """Inside single quotes, inside a specification of _arguments."""
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")


ZSH_KINDS = {
    "file": "_files", "folder": "_files -/", "image": "_easel_images", "model": "_easel_models",
    "model_or_image": "_easel_models_and_images", "command": "_easel_commands", "any": " ", "": " ",
}


def zsh_kind(kind):
    return f"({kind[6:]})" if kind.startswith("words ") else ZSH_KINDS[kind]


def zsh_flag(flag):
    forms = ["--" + flag["name"], *(["-" + flag["letter"]] if flag["letter"] else [])]
    value = f":{flag.get('word', 'value')}:{zsh_kind(kind_of(flag))}" if flag["value"] else ""
    star = "*" if flag.get("repeatable") else ""
    out = []
    for form in forms:
        others = "" if star else f"({' '.join(forms)})"
        joined = "=" if form.startswith("--") and flag["value"] else "+" if flag["value"] else ""
        out.append(f"'{star or others}{form}{joined}[{zsh_text(flag['help'])}]{value}'")
    return out


def zsh(tables):
    commands = "".join(f"    '{name}:{zsh_text(c['brief'])}'\n" for c in visible(tables) for name in names_of(c)[:1])
    cases = ""
    for command in visible(tables):
        first, rest = command["completions"]
        rows = [row for flag in flags_of(command) for row in zsh_flag(flag)]
        if command["arguments"]:
            rows.append(f"'1:argument:{zsh_kind(first)}'")
        if command["several"]:
            rows.append(f"'*:argument:{zsh_kind(rest)}'")
        body = " \\\n        ".join(rows)
        cases += f"    {'|'.join(names_of(command))})\n      _arguments -s -S \\\n        {body}\n      ;;\n"
    patterns = "|".join(IMAGES)
    return f"""#compdef easel
# zsh completion for easel. Made by scripts/generate.py: do not edit.

_easel_models() {{
  local -a names
  names=(${{(f)"$(_call_program models $service __names 2>/dev/null)"}})
  compadd "$@" -a names
}}

_easel_images() {{ _files -g '(#i)*.({patterns})' }}

_easel_models_and_images() {{ _alternative 'models:model:_easel_models' 'files:picture:_easel_images' }}

_easel_commands() {{
  local -a commands
  commands=(
{commands}  )
  _describe -t commands command commands
}}

_easel() {{
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C \\
    '(-h --help)'{{-h,--help}}'[help for easel]' \\
    '(-v --version)'{{-v,--version}}'[Show version information]' \\
    '1:command:_easel_commands' \\
    '*::argument:->argument' && return 0
  [[ $state == argument ]] || return 1
  curcontext="${{curcontext%:*:*}}:easel-$words[1]:"
  case $words[1] in
{cases}  esac
}}

_easel "$@"
"""


FISH_KINDS = {
    "file": "-rF", "folder": "-x -a '(__fish_complete_directories (commandline -ct))'",
    "image": "-x -a '(__easel_images)'", "model": "-x -a '(__easel_models)'", "any": "-x",
}


def fish_quote(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_kind(kind):
    return f"-x -a {fish_quote(kind[6:])}" if kind.startswith("words ") else FISH_KINDS[kind]


def fish(tables):
    names = " ".join(name for c in visible(tables) for name in names_of(c))
    out = f"""# fish completion for easel. Made by scripts/generate.py: do not edit.

function __easel_models
    set -l words (commandline -opc)
    command $words[1] __names 2>/dev/null
end

function __easel_images
    __fish_complete_path (commandline -ct) | string match -eri '(/|\\.({'|'.join(IMAGES)}))(\t|$)'
end

# The arguments behind the command, without flags.
function __easel_arguments
    set -l words (commandline -opc)
    string match -v -- '-*' $words[3..-1] | count
end

function __easel_none
    not __fish_seen_subcommand_from {names}
end

function __easel_in
    __fish_seen_subcommand_from $argv
end

complete -c easel -f
complete -c easel -n __easel_none -s h -l help -d 'help for easel'
"""
    for flag in tables["flags"]:
        out += f"complete -c easel -n __easel_none -s {flag['letter']} -l {flag['name']} -d {fish_quote(flag['help'])}\n"
    for command in visible(tables):
        condition = fish_quote("__easel_in " + " ".join(names_of(command)))
        out += f"\ncomplete -c easel -n __easel_none -a {command['name']} -d {fish_quote(command['brief'])}\n"
        for flag in flags_of(command):
            letter = f" -s {flag['letter']}" if flag["letter"] else ""
            kind = " " + fish_kind(kind_of(flag)) if flag["value"] else ""
            out += f"complete -c easel -n {condition}{letter} -l {flag['name']}{kind} -d {fish_quote(flag['help'])}\n"
        for number, kind in enumerate(command["completions"]):
            test = "test (__easel_arguments) " + ("-ge 1" if number else "-eq 0")
            where = fish_quote("__easel_in " + " ".join(names_of(command)) + "; and " + test)
            parts = {"model_or_image": ["model", "image"], "command": []}.get(kind, [kind] if kind else [])
            for part in parts:
                out += f"complete -c easel -n {where} {fish_kind(part)}\n"
            if kind == "command":
                out += f"complete -c easel -n {where} -x -a '{' '.join(c['name'] for c in visible(tables))}'\n"
    return out


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    form, tables = sys.argv[1], json.loads(read(sys.argv[2]))
    try:
        if form == "man":
            text = man(tables, read(sys.argv[3]))
        else:
            text = {"bash": bash, "zsh": zsh, "fish": fish}[form](tables)
    except Mistake as mistake:
        sys.exit(f"{sys.argv[-1]}: {mistake}")
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
