"""Reads from a picture's pixels what score_demo.py asks: the background's colour, and of
every shape its colour, kind and place. Knows the palette and the kinds from
demo_pictures.py, and nothing of the prompt. Needs numpy only.
"""
from dataclasses import dataclass

import numpy

from demo_pictures import COLOURS, PALETTE, rgb, tint

TINTS = (0.0, 0.15, 0.3, 0.42)          # as light as stripes and gradients get
LEAST = 0.004                           # of the picture: smaller patches are specks
BORDER = 5                              # pixels of the frame that tell the background


@dataclass
class Shape:
    colour: str
    kind: str
    x: float                            # of the centre, in 0..1
    y: float
    area: float                         # pixels, with its hole


def colour_classes(pixels):
    """[h, w, 3] in 0..1 -> [h, w] index of COLOURS, the nearest of each colour's tints."""
    shades = numpy.stack([[tint(rgb(name), t) for t in TINTS] for name in PALETTE])
    distance = ((pixels[:, :, None, None] - shades) ** 2).sum(-1).min(-1)
    return distance.argmin(-1)


def components(mask):
    """Connected parts (by edges) of a boolean [h, w], as boolean arrays."""
    labels = numpy.where(mask, numpy.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        grown = labels.copy()
        for axis in (0, 1):
            for a, b in (((slice(1, None)), slice(None, -1)), (slice(None, -1), slice(1, None))):
                to = (a, slice(None)) if axis == 0 else (slice(None), a)
                of = (b, slice(None)) if axis == 0 else (slice(None), b)
                grown[to] = numpy.maximum(grown[to], labels[of])
        grown = numpy.where(mask, grown, 0)
        # A label names a pixel: jump to what that pixel is called by now.
        flat = numpy.concatenate(([0], grown.ravel()))
        grown = flat[grown]
        if (grown == labels).all():
            break
        labels = grown
    return [labels == k for k in numpy.unique(labels) if k]


def filled(mask):
    """With every hole closed: what the outside does not reach."""
    outside = numpy.pad(~mask, 1, constant_values=True)
    parts = components(outside)
    outer = next(p for p in parts if p[0, 0])
    return ~outer[1:-1, 1:-1]


def hull_area(mask):
    """Of the convex hull of the pixels' corners."""
    y, x = numpy.nonzero(mask)
    corners = {(int(a), int(b)) for dx in (0, 1) for dy in (0, 1) for a, b in zip(x + dx, y + dy)}
    ordered = sorted(corners)

    def half(points):
        chain = []
        for p in points:
            while len(chain) > 1 and ((chain[-1][0] - chain[-2][0]) * (p[1] - chain[-2][1])
                                      - (chain[-1][1] - chain[-2][1]) * (p[0] - chain[-2][0])) <= 0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    ring = half(ordered) + half(ordered[::-1])
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1]))) / 2


def kind_of(mask):
    """By hole, convexity and how much of its upright box it fills."""
    whole = filled(mask)
    area = whole.sum()
    if area - mask.sum() > 0.1 * area:
        return "ring"
    y, x = numpy.nonzero(whole)
    fill = area / ((numpy.ptp(x) + 1) * (numpy.ptp(y) + 1))
    solid = area / hull_area(whole)
    if solid < 0.66:
        return "star"
    if solid < 0.86:
        return "cross"
    return "triangle" if fill < 0.66 else "circle" if fill < 0.89 else "square"


def background_of(classes):
    frame = numpy.ones(classes.shape, bool)
    frame[BORDER:-BORDER, BORDER:-BORDER] = False
    return int(numpy.bincount(classes[frame], minlength=len(COLOURS)).argmax())


def read(pixels):
    """[h, w, 3] in 0..1 -> name of the background's colour, list of Shape."""
    classes = colour_classes(pixels)
    background = background_of(classes)
    h, w = classes.shape
    shapes = []
    for part in components(classes != background):
        if part.sum() < LEAST * h * w:
            continue
        y, x = numpy.nonzero(part)
        colour = COLOURS[numpy.bincount(classes[part], minlength=len(COLOURS)).argmax()]
        shapes.append(Shape(colour, kind_of(part), float(x.mean() + 0.5) / w, float(y.mean() + 0.5) / h,
                            float(part.sum())))
    return COLOURS[background], shapes
