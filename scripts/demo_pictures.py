"""What the demo model knows: the grammar of its prompts and how each is drawn. Imported
by train_demo.py (what is trained) and score_demo.py (what is asked and expected); needs
numpy only. Everything is a function of the generator that is passed in.

A prompt is a Spec. Shapes: one or two groups of like shapes on a background. Scenes: a
few fixed sentences, some with a colour. held_out() names the prompts whose combination
of count, colours and kinds is never drawn for training.
"""
from dataclasses import dataclass

import numpy

KINDS = ("circle", "square", "triangle", "star", "ring", "cross")
PLURALS = {"cross": "crosses"}
PALETTE = {
    "red": (214, 40, 40), "orange": (245, 140, 25), "yellow": (250, 218, 50), "green": (45, 155, 70),
    "blue": (40, 90, 205), "purple": (130, 60, 170), "white": (245, 245, 245), "black": (25, 25, 28),
}
COLOURS = tuple(PALETTE)
PATTERNS = ("plain", "gradient", "striped")
COUNTS = {1: "a", 2: "two", 3: "three"}
POSITIONS = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
RELATIONS = ("above", "below", "left of", "right of")
SIZES = ("small", "large")
SCENES = ("a sunset over mountains", "a {} cat", "a house under a tree", "a tree",
          "a boat with {} sails on the sea", "a {} flower", "the moon over mountains at night")
SCENE_COLOURS = {"a {} cat": ("white", "black", "orange"),
                 "a boat with {} sails on the sea": ("red", "white", "yellow", "orange", "purple", "black"),
                 "a {} flower": ("purple", "red", "yellow", "orange", "blue", "white")}
SCENE_WEIGHTS = (4, 6, 3, 2, 5, 4, 4)
TAGS = ("high quality", "highly detailed", "beautiful", "8k", "sharp focus", "flat design", "vector art",
        "masterpiece")
# Shown in the documentation, so never held out.
SHOWN = ((1, "red", "circle", "blue"), (3, "white", "star", "blue"), (1, "yellow", "star", "black"),
         (1, "orange", "ring", "purple"))
SHOWN_PAIR = (2, "green", "triangle", "above", 1, "yellow", "square")
STRIPE = 32                             # pixels of a light and a dark stripe together


@dataclass(frozen=True)
class Group:
    count: int
    colour: str
    kind: str
    size: str = ""


@dataclass(frozen=True)
class Spec:
    """groups is empty for a scene; background "" is one that the prompt does not name."""
    groups: tuple = ()
    relation: str = ""
    position: str = ""
    background: str = ""
    pattern: str = "plain"
    scene: str = ""
    colour: str = ""


# ---- words ----

def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def group_text(group):
    noun = group.kind if group.count == 1 else PLURALS.get(group.kind, group.kind + "s")
    words = " ".join(w for w in (group.size, group.colour, noun) if w)
    return article(words) if group.count == 1 else f"{COUNTS[group.count]} {words}"


def prompt_text(spec):
    if spec.scene:
        text = spec.scene.replace("a {}", article(spec.colour)) if spec.scene.startswith("a {}") else \
            spec.scene.format(spec.colour)
    else:
        text = f" {spec.relation} ".join(group_text(g) for g in spec.groups)
    if spec.position:
        text += " " + POSITIONS[spec.position]
    if spec.background:
        pattern = "" if spec.pattern == "plain" else spec.pattern + " "
        text += f" on {article(spec.background)} {pattern}background"
    return text


def embellish(text, rng):
    """As people type: a capital and a full stop, or words that say nothing."""
    draw = rng.random()
    if draw < 0.04:
        return text[0].upper() + text[1:] + rng.choice((".", "!", ""))
    if draw < 0.07:
        n = rng.integers(1, 3)
        return ", ".join([text, *rng.permutation(TAGS)[:n]])
    if draw < 0.08:
        return ", ".join([text, *rng.permutation(TAGS)])
    return text


# ---- the grammar ----

def combination(spec):
    if len(spec.groups) == 1:
        g = spec.groups[0]
        return g.count, g.colour, g.kind, spec.background
    a, b = spec.groups
    return a.count, a.colour, a.kind, spec.relation, b.count, b.colour, b.kind


def other(rng, choices, *taken):
    return str(rng.choice([c for c in choices if c not in taken]))


def random_pattern(rng):
    return str(rng.choice(PATTERNS, p=(0.6, 0.2, 0.2)))


def random_single(rng, named):
    colour = other(rng, COLOURS)
    background = other(rng, COLOURS, colour) if named else ""
    size = str(rng.choice(("",) + SIZES, p=(0.6, 0.2, 0.2)))
    group = Group(int(rng.choice((1, 2, 3), p=(0.5, 0.25, 0.25))), colour, other(rng, KINDS), size)
    position = str(rng.choice(tuple(POSITIONS))) if rng.random() < 0.4 else ""
    return Spec((group,), "", position, background, random_pattern(rng) if named else "plain")


def random_pair(rng, named):
    a, b = rng.choice(COLOURS, 2, replace=False)
    background = other(rng, COLOURS, a, b) if named else ""
    counts = rng.choice((1, 2, 3), 2, p=(0.6, 0.25, 0.15))
    groups = tuple(Group(int(n), str(c), other(rng, KINDS)) for n, c in zip(counts, (a, b)))
    return Spec(groups, str(rng.choice(RELATIONS)), "", background, random_pattern(rng) if named else "plain")


def random_scene(rng):
    scene = str(rng.choice(SCENES, p=numpy.array(SCENE_WEIGHTS) / sum(SCENE_WEIGHTS)))
    colour = str(rng.choice(SCENE_COLOURS[scene])) if scene in SCENE_COLOURS else ""
    background = ""
    if scene in ("a {} cat", "a {} flower") and rng.random() < 0.5:
        background = other(rng, COLOURS, colour)
    return Spec(scene=scene, colour=colour, background=background)


def held_out(n=200, seed=2026):
    """n prompts of shapes on named backgrounds, a quarter of them pairs, each combination once."""
    rng = numpy.random.default_rng(seed)
    found = {}
    while len(found) < n:
        pair = len(found) % 4 == 3
        spec = random_pair(rng, True) if pair else random_single(rng, True)
        key = combination(spec)
        if key not in SHOWN and key != SHOWN_PAIR and key not in found:
            found[key] = spec
    return list(found.values())


def random_spec(rng, forbidden):
    """A training prompt; forbidden: combinations of held_out()."""
    draw = rng.random()
    if draw < 0.22:
        return random_scene(rng)
    while True:
        spec = random_single(rng, draw < 0.72) if draw < 0.8 else random_pair(rng, draw < 0.97)
        if combination(spec) not in forbidden:
            return spec


def random_size(rng):
    return ((128, 128), (160, 96), (96, 160), (64, 64))[rng.choice(4, p=(0.79, 0.07, 0.07, 0.07))]


# ---- drawing ----

def rgb(name):
    return numpy.array(PALETTE[name], numpy.float32) / 255


def mix(a, b, t):
    return a + (b - a) * t


def tint(colour, amount):
    """Towards white; white itself towards black."""
    grey = 0.0 if colour.min() > 0.8 else 1.0
    return mix(colour, numpy.float32(grey), amount * (0.6 if grey == 0 else 1))


def default_background(spec):
    return "blue" if any(g.colour == "white" for g in spec.groups) else "white"


class Canvas:
    """width x height pixels; lengths and places in pixels, u the shorter side."""

    def __init__(self, width, height):
        self.w, self.h, self.u = width, height, min(width, height)
        self.y, self.x = numpy.mgrid[0:height, 0:width].astype(numpy.float32) + 0.5
        self.pixels = numpy.zeros((height, width, 3), numpy.float32)

    def cover(self, distance, colour, alpha=1.0):
        """distance: signed, in pixels, negative inside; edges are one pixel soft."""
        a = numpy.clip(0.5 - distance, 0, 1)[..., None] * numpy.float32(alpha)
        self.pixels += (colour - self.pixels) * a

    def circle(self, cx, cy, r):
        return numpy.hypot(self.x - cx, self.y - cy) - r

    def ellipse(self, cx, cy, rx, ry):
        return (numpy.hypot((self.x - cx) / rx, (self.y - cy) / ry) - 1) * min(rx, ry)

    def box(self, cx, cy, hx, hy):
        return numpy.maximum(abs(self.x - cx) - hx, abs(self.y - cy) - hy)

    def polygon(self, points):
        """Even-odd inside, exact distance to the edges."""
        best = numpy.full(self.x.shape, numpy.inf, numpy.float32)
        inside = numpy.zeros(self.x.shape, bool)
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
            dx, dy = bx - ax, by - ay
            px, py = self.x - ax, self.y - ay
            t = numpy.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
            best = numpy.minimum(best, (px - t * dx) ** 2 + (py - t * dy) ** 2)
            if dy:
                inside ^= ((self.y < ay) != (self.y < by)) & (px < py * (dx / dy))
        return numpy.where(inside, -1, 1).astype(numpy.float32) * numpy.sqrt(best)


def regular(cx, cy, radii, n, turn=-numpy.pi / 2):
    return [(float(cx + radii[i % len(radii)] * numpy.cos(turn + 2 * numpy.pi * i / n)),
             float(cy + radii[i % len(radii)] * numpy.sin(turn + 2 * numpy.pi * i / n))) for i in range(n)]


SHAPES = {
    "circle": lambda c, x, y, r: c.circle(x, y, r),
    "square": lambda c, x, y, r: c.box(x, y, 0.88 * r, 0.88 * r),
    "triangle": lambda c, x, y, r: c.polygon(regular(x, y + 0.2 * r, (1.2 * r,), 3)),
    "star": lambda c, x, y, r: c.polygon(regular(x, y + 0.05 * r, (1.18 * r, 0.47 * r), 10)),
    "ring": lambda c, x, y, r: numpy.maximum(c.circle(x, y, 1.05 * r), -c.circle(x, y, 0.55 * r)),
    "cross": lambda c, x, y, r: numpy.minimum(c.box(x, y, 1.05 * r, 0.35 * r), c.box(x, y, 0.35 * r, 1.05 * r)),
}
# Radius for a size, and the distance between neighbours; of the shorter side, by count.
RADII = {1: {"small": 0.13, "": 0.21, "large": 0.30}, 2: {"small": 0.11, "": 0.15, "large": 0.185},
         3: {"small": 0.09, "": 0.11, "large": 0.125}}
PAIR_RADII = {1: 0.175, 2: 0.15, 3: 0.115}
SPACING = {1: 0.0, 2: 0.45, 3: 0.315}
PLACES = {"": (0.5, 0.5), "left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73)}
RELATION_PLACES = {"above": ("top", "bottom"), "below": ("bottom", "top"), "left of": ("left", "right"),
                   "right of": ("right", "left")}


def shade(name, rng):
    return numpy.clip(rgb(name) + rng.normal(0, 0.012, 3).astype(numpy.float32), 0, 1)


def draw_background(c, name, pattern, rng):
    colour = shade(name, rng)
    c.pixels[:] = colour
    if pattern == "gradient":
        c.pixels[:] = mix(tint(colour, 0.42), colour, (c.y / c.h)[..., None])
    elif pattern == "striped":
        wave = abs(numpy.mod(c.x, STRIPE) - STRIPE / 2) - STRIPE / 4
        c.cover(wave, tint(colour, 0.3))


def draw_group(c, group, place, pair, rng):
    fx, fy = PLACES[place]
    r = c.u * (PAIR_RADII[group.count] if pair else RADII[group.count][group.size])
    if place and not pair and group.count == 1:
        r *= 0.75 if group.size == "large" else 0.87
    r *= rng.uniform(0.94, 1.06)
    cx, cy = fx * c.w + rng.uniform(-0.03, 0.03) * c.u, fy * c.h + rng.uniform(-0.03, 0.03) * c.u
    column = place in ("left", "right")
    colour = shade(group.colour, rng)
    for i in range(group.count):
        step = (i - (group.count - 1) / 2) * SPACING[group.count] * c.u
        x, y = (cx, cy + step) if column else (cx + step, cy)
        c.cover(SHAPES[group.kind](c, x, y, r), colour)


def draw_shapes(c, spec, rng):
    draw_background(c, spec.background or default_background(spec), spec.pattern, rng)
    pair = len(spec.groups) == 2
    places = RELATION_PLACES[spec.relation] if pair else (spec.position,)
    for group, place in zip(spec.groups, places):
        draw_group(c, group, place, pair, rng)


# ---- scenes ----

def colour_of(*values):
    return numpy.array(values, numpy.float32) / 255


def ridge(c, base, peaks, colour):
    """Mountains: straight lines between (x, height) of the sides, filled to the bottom."""
    xs, ys = zip(*peaks)
    line = numpy.interp(c.x[0], numpy.array(xs) * c.w, (base - numpy.array(ys)) * c.h)
    c.cover((line[None, :] - c.y) * 0.75, colour)


def random_peaks(rng, height):
    return [(-0.05, 0.1 * height), (rng.uniform(0.15, 0.25), height * rng.uniform(0.85, 1.1)),
            (rng.uniform(0.42, 0.52), 0.25 * height), (rng.uniform(0.68, 0.82), height * rng.uniform(0.7, 1.0)),
            (1.05, 0.15 * height)]


def draw_sunset(c, spec, rng):
    t = (c.y / c.h)[..., None]
    high, middle, low = colour_of(88, 52, 130), colour_of(235, 100, 80), colour_of(255, 200, 90)
    c.pixels[:] = numpy.where(t < 0.4, mix(high, middle, t / 0.4), mix(middle, low, numpy.minimum((t - 0.4) / 0.3, 1)))
    x, y, r = rng.uniform(0.38, 0.62) * c.w, rng.uniform(0.46, 0.54) * c.h, 0.14 * c.u
    c.cover(c.circle(x, y, 1.3 * r), colour_of(255, 190, 90), 0.5)
    c.cover(c.circle(x, y, r), colour_of(255, 235, 150))
    ridge(c, 0.86, random_peaks(rng, 0.32), colour_of(105, 50, 95))
    ridge(c, 1.0, [(0, 0.1), (rng.uniform(0.4, 0.6), 0.24), (1, 0.08)], colour_of(50, 28, 60))


def draw_moon(c, spec, rng):
    c.pixels[:] = mix(colour_of(12, 16, 48), colour_of(48, 62, 120), (c.y / c.h)[..., None])
    for _ in range(7):
        c.cover(c.circle(rng.uniform(0.05, 0.95) * c.w, rng.uniform(0.05, 0.45) * c.h, 1.3), colour_of(230, 230, 245))
    x, y = rng.choice((0.3, 0.7)) * c.w, 0.27 * c.h
    c.cover(c.circle(x, y, 0.17 * c.u), colour_of(70, 80, 130))
    c.cover(c.circle(x, y, 0.135 * c.u), colour_of(245, 240, 210))
    c.cover(c.circle(x - 0.04 * c.u, y - 0.03 * c.u, 0.03 * c.u), colour_of(218, 212, 182))
    c.cover(c.circle(x + 0.05 * c.u, y + 0.04 * c.u, 0.04 * c.u), colour_of(218, 212, 182))
    ridge(c, 0.9, random_peaks(rng, 0.36), colour_of(42, 50, 88))
    ridge(c, 1.02, [(0, 0.12), (rng.uniform(0.35, 0.65), 0.26), (1, 0.1)], colour_of(20, 24, 44))


CATS = {"white": ((245, 245, 240), (215, 205, 205)), "black": ((32, 32, 36), (70, 66, 72)),
        "orange": ((238, 145, 45), (252, 215, 160))}


def draw_cat(c, spec, rng):
    name = spec.background or ("white" if spec.colour == "black" else "green" if spec.colour == "white" else "blue")
    draw_background(c, name, "plain", rng)
    fur, belly = (colour_of(*v) for v in CATS[spec.colour])
    u, x, y, side = c.u, (0.5 + rng.uniform(-0.03, 0.03)) * c.w, (0.5 + rng.uniform(-0.02, 0.02)) * c.h, \
        rng.choice((-1, 1))
    tail = numpy.abs(c.circle(x + side * 0.24 * u, y + 0.26 * u, 0.12 * u)) - 0.035 * u
    c.cover(numpy.maximum(tail, -(c.x - (x + side * 0.2 * u)) * side), fur)
    c.cover(c.ellipse(x, y + 0.21 * u, 0.2 * u, 0.24 * u), fur)
    c.cover(c.ellipse(x, y + 0.26 * u, 0.1 * u, 0.15 * u), belly)
    for s in (-1, 1):
        ear = [(x + s * 0.17 * u, y - 0.36 * u), (x + s * 0.18 * u, y - 0.12 * u), (x + s * 0.02 * u, y - 0.26 * u)]
        c.cover(c.polygon([(float(a), float(b)) for a, b in ear]), fur)
    c.cover(c.ellipse(x, y - 0.13 * u, 0.2 * u, 0.16 * u), fur)
    for s in (-1, 1):
        c.cover(c.ellipse(x + s * 0.08 * u, y - 0.15 * u, 0.034 * u, 0.045 * u), colour_of(90, 190, 90))
        c.cover(c.ellipse(x + s * 0.08 * u, y - 0.15 * u, 0.013 * u, 0.04 * u), colour_of(15, 15, 15))
    c.cover(c.ellipse(x, y - 0.075 * u, 0.026 * u, 0.018 * u), colour_of(225, 110, 120))


def draw_meadow(c):
    c.pixels[:] = mix(colour_of(120, 185, 240), colour_of(205, 230, 250), (c.y / c.h)[..., None])
    c.cover(0.74 * c.h - c.y, colour_of(105, 175, 80))


def draw_one_tree(c, x, r, rng):
    c.cover(c.box(x, 0.66 * c.h, 0.045 * c.u, 0.16 * c.h), colour_of(115, 75, 45))
    leaf = colour_of(40, 125, 55)
    for dx, dy, s in ((-0.62, 0.25, 0.72), (0.62, 0.25, 0.72), (0, -0.25, 1.0)):
        c.cover(c.circle(x + dx * r, 0.38 * c.h + dy * r, s * r), leaf)
    c.cover(c.circle(x - 0.3 * r, 0.38 * c.h - 0.45 * r, 0.4 * r), colour_of(65, 155, 75))


def draw_tree(c, spec, rng):
    draw_meadow(c)
    draw_one_tree(c, (0.5 + rng.uniform(-0.06, 0.06)) * c.w, rng.uniform(0.19, 0.23) * c.u, rng)


def draw_house(c, spec, rng):
    draw_meadow(c)
    side = rng.choice((-1, 1))
    draw_one_tree(c, (0.5 + side * 0.2) * c.w, 0.24 * c.u, rng)
    x, y, u = (0.5 - side * 0.12) * c.w, 0.7 * c.h, c.u
    c.cover(c.box(x, y, 0.2 * u, 0.15 * u), colour_of(240, 220, 180))
    roof = [(x - 0.26 * u, y - 0.15 * u), (x, y - 0.36 * u), (x + 0.26 * u, y - 0.15 * u)]
    c.cover(c.polygon([(float(a), float(b)) for a, b in roof]), colour_of(190, 55, 45))
    c.cover(c.box(x + 0.08 * u, y + 0.055 * u, 0.045 * u, 0.095 * u), colour_of(120, 75, 45))
    c.cover(c.box(x - 0.09 * u, y - 0.01 * u, 0.05 * u, 0.05 * u), colour_of(110, 170, 215))


def draw_boat(c, spec, rng):
    c.pixels[:] = mix(colour_of(110, 180, 240), colour_of(215, 235, 250), (c.y / c.h)[..., None])
    c.cover(c.circle(rng.choice((0.16, 0.84)) * c.w, 0.17 * c.h, 0.09 * c.u), colour_of(255, 225, 95))
    c.cover(0.68 * c.h - c.y, colour_of(35, 95, 170))
    u, x, y = c.u, (0.5 + rng.uniform(-0.05, 0.05)) * c.w, 0.68 * c.h
    c.cover(c.box(x, y - 0.25 * u, 0.014 * u, 0.3 * u), colour_of(90, 60, 40))
    sail = rgb(spec.colour)
    for s, top, width in ((1, -0.53, 0.27), (-1, -0.45, 0.22)):
        inner, foot = x + s * 0.025 * u, y - 0.09 * u
        points = [(inner, y + top * u), (x + s * width * u, foot), (inner, foot)]
        c.cover(c.polygon([(float(a), float(b)) for a, b in points]), sail)
    hull = [(x - 0.31 * u, y - 0.04 * u), (x + 0.31 * u, y - 0.04 * u), (x + 0.2 * u, y + 0.1 * u),
            (x - 0.2 * u, y + 0.1 * u)]
    c.cover(c.polygon([(float(a), float(b)) for a, b in hull]), colour_of(125, 75, 45))
    for k in range(3):
        wave = c.h * (0.82 + 0.06 * k) + 1.6 * numpy.sin(2 * numpy.pi * c.x / 32)
        c.cover(abs(c.y - wave) - 0.9, colour_of(85, 145, 205))


def draw_flower(c, spec, rng):
    if spec.background:
        draw_background(c, spec.background, "plain", rng)
    else:
        c.pixels[:] = mix(colour_of(170, 215, 245), colour_of(225, 240, 250), (c.y / c.h)[..., None])
    u, x, y = c.u, (0.5 + rng.uniform(-0.04, 0.04)) * c.w, 0.37 * c.h
    c.cover(c.box(x, (y + c.h) / 2, 0.022 * u, (c.h - y) / 2 + 2), colour_of(50, 130, 60))
    for s in (-1, 1):
        c.cover(c.ellipse(x + s * 0.12 * u, y + 0.4 * u, 0.11 * u, 0.05 * u), colour_of(70, 160, 75))
    petal = shade(spec.colour, rng)
    for px, py in regular(x, y, (0.165 * u,), 6):
        c.cover(c.circle(px, py, 0.1 * u), petal)
    centre = colour_of(240, 150, 40) if spec.colour == "yellow" else colour_of(250, 215, 70)
    c.cover(c.circle(x, y, 0.095 * u), centre)


DRAWERS = dict(zip(SCENES, (draw_sunset, draw_cat, draw_house, draw_tree, draw_boat, draw_flower, draw_moon)))


def draw(spec, width, height, rng):
    """[height, width, 3] in 0..1."""
    c = Canvas(width, height)
    (DRAWERS[spec.scene] if spec.scene else draw_shapes)(c, spec, rng)
    return numpy.clip(c.pixels, 0, 1)
