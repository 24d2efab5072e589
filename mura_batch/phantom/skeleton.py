"""The bones and soft tissue of an arm and shoulder, in arm coordinates (see bodies.py), and of a crude chest.

Sizes are an adult's, rounded, and serve the eye only; nothing is measured on them. A left arm seen from the front: the
elbow at y = 0, the shoulder up at y = -315, the wrist down at y = 250, the thumb on the side of positive x.
"""

from __future__ import annotations

import math

from mura_batch.phantom.bodies import Body, Lump, Matter, Point, Sheet, Tube

WRIST = 250.0  # y of the joint between radius and carpus

# Profiles: (fraction of the length, half-width, half-depth, sideways offset), mm.
_HUMERUS = (
    (0.0, 17, 20, 3), (0.05, 21, 22, 3), (0.12, 17, 17, 1.5), (0.24, 12, 12, 0), (0.5, 10.5, 11, 0), (0.7, 11, 9.5, 0),
    (0.80, 12.5, 9, 0), (0.87, 18, 8, -1), (0.92, 27.5, 8, -3), (0.945, 30.5, 8.5, -3.5), (0.965, 26, 8.5, -1.5),
    (1.0, 22, 9, 0),
)  # fmt: skip
_ULNA = (
    (0.0, 10, 8, 0), (0.06, 11.5, 12, 0), (0.12, 10, 11, 0), (0.22, 7.5, 8.5, 0), (0.5, 6.6, 7, 0), (0.8, 5, 5.5, 0),
    (0.93, 5.5, 5.5, 0), (1.0, 7.8, 7.2, 0),
)  # fmt: skip
_RADIUS = (
    (0.0, 11.2, 11.2, 0), (0.03, 11.2, 11.2, 0), (0.075, 7, 7, 0), (0.14, 8.6, 8, -1.5), (0.24, 7, 7, 0),
    (0.5, 7.6, 6.8, 0), (0.75, 8, 7, 0), (0.87, 11, 8.5, 1), (0.95, 15.5, 10.5, 1), (1.0, 16, 10.5, 0),
)  # fmt: skip

# Fingers, thumb first: base (x, y beyond the wrist), direction in degrees towards the thumb, lengths of the metacarpal
# and the phalanges, half-widths (base, shaft, head) of the metacarpal.
_DIGITS: tuple[tuple[str, tuple[float, float], float, tuple[float, ...], tuple[float, float, float]], ...] = (
    ("1", (28.0, 25.0), 43.0, (44, 31, 23), (7.6, 5.2, 7.0)),
    ("2", (17.0, 35.0), 11.0, (65, 40, 24, 18), (8.2, 4.4, 7.4)),
    ("3", (5.5, 36.5), 2.5, (63, 44, 28, 19), (7.6, 4.5, 7.3)),
    ("4", (-5.5, 35.0), -7.0, (56, 41, 27, 19), (6.6, 3.9, 6.6)),
    ("5", (-15.0, 31.0), -17.0, (52, 33, 19, 17), (6.8, 3.9, 6.2)),
)

# Carpal bones: centre (x, y beyond the wrist, z), radii, turn in degrees.
_CARPALS: tuple[tuple[str, Point, Point, float], ...] = (
    ("scaphoid", (17.5, 11.5, 2), (6.5, 12.2, 7), -38),
    ("lunate", (3.5, 7.5, 0), (8.2, 7.0, 8.5), 8),
    ("triquetrum", (-8.5, 11.5, -3), (6.2, 8.0, 7), 35),
    ("pisiform", (-11.5, 13.0, 9), (5.0, 5.6, 5), 0),
    ("trapezium", (24.5, 20.0, 4), (7.6, 7.2, 8), 25),
    ("trapezoid", (16.0, 24.5, 0), (6.0, 6.4, 7.5), 0),
    ("capitate", (4.8, 22.8, 0), (6.9, 11.4, 9), -4),
    ("hamate", (-7.0, 23.5, 0), (8.0, 9.0, 8), 14),
)


def forearm() -> tuple[Body, ...]:
    """Radius and ulna from the elbow to the wrist."""
    return (
        Tube("ulna", (-8, -20, -9), (-15, WRIST - 8, 0), _ULNA, cortex=(0.8, 2.7), caps=(7, 5), bend=-3),
        Lump("ulna/coronoid", (-8, 4, 5), (9, 6.5, 9), waves=((2, 0.06, 0),)),
        Lump("ulna/styloid", (-20, WRIST - 9, -2), (2.6, 6, 3), turn=8),
        Tube(
            "radius", (14, 5.5, 3), (9, WRIST - 1, 0), _RADIUS,
            cortex=(0.8, 2.7), caps=(1.8, 3.5), hollows=(-0.8, 1.0), tilts=(0.0, 0.33), bend=4,
        ),
    )  # fmt: skip


def humerus() -> tuple[Body, ...]:
    return (
        Tube("humerus", (2, -326, 0), (0, 2, 0), _HUMERUS, cortex=(0.9, 3.4), caps=(12, 5), bend=1.5),
        Lump("humerus/head", (-13, -315, 0), (23, 23.5, 22), turn=-40, waves=((2, 0.03, 0.4),), cortex=1.0),
        Lump("humerus/fossa", (0, -18, 0), (9, 7, 5), matter=Matter.HOLLOW),
        Lump(
            "humerus/trochlea", (-11, -2, 2), (12, 9, 10), turn=-8, waves=((2, 0.08, 1.6), (3, 0.05, 0.0)), cortex=1.0
        ),
        Lump("humerus/capitellum", (13, -4.5, 5), (9.5, 8.5, 9), waves=((3, 0.03, 0),), cortex=1.0),
    )


def carpus() -> tuple[Body, ...]:
    waves = ((3, 0.05, 1.1), (4, 0.075, 3.1), (5, 0.03, 2.2))
    grown = 1.04  # so that they nearly touch
    return tuple(
        Lump(name, (x, WRIST + y - 4, z), (rx * grown, ry * grown, rz), turn, waves, cortex=0.75)
        for name, (x, y, z), (rx, ry, rz), turn in _CARPALS
    )


def digits(fan: float = 0.0) -> tuple[Body, ...]:
    """Metacarpals and phalanges with their soft tissue. fan: degrees by which each finger is bent more than the next,
    as for a lateral picture, where they would hide each other."""
    bodies: list[Body] = []
    for number, digit in enumerate(_DIGITS):
        bodies += _digit(digit, fan * max(0, 4 - number))
    bodies.append(Lump("sesamoid", (52.0, WRIST + 66.0, 7), (2.4, 3.0, 2.4), 40))
    return tuple(bodies)


def _digit(
    digit: tuple[str, tuple[float, float], float, tuple[float, ...], tuple[float, float, float]], bent: float
) -> list[Body]:
    name, (x, y), direction, lengths, (base, shaft, head) = digit
    thumb = name == "1"
    across = (0.72, 0.0, -0.69) if thumb else (1.0, 0.0, 0.0)  # the thumb faces the palm
    at: Point = (x, WRIST + y - 6, 6.0 if thumb else 0.0)
    bodies: list[Body] = []
    start = at
    for joint, length in enumerate(lengths):
        lean = math.radians(direction * (1 if joint == 0 or thumb else 0.8))
        fold = math.radians(bent * (0.15 + 0.45 * joint))
        end = (
            at[0] + length * math.sin(lean),
            at[1] + length * math.cos(lean) * math.cos(fold),
            at[2] + length * math.sin(fold),
        )
        last = joint == len(lengths) - 1
        bodies.append(_finger_bone(f"{name}.{joint}", at, end, (base, shaft, head, across), (joint == 0, last)))
        flesh = 9.8 - 0.9 * joint + (1.5 if thumb else 0)
        skin = _beyond(end, at, 1 + flesh / length), _beyond(at, end, 1 + (4.5 if last else flesh) / length)
        profile = ((0.0, flesh, flesh * 0.9, 0.0), (1.0, flesh * (0.84 if last else 0.95), flesh * 0.8, 0.0))
        bodies.append(Tube(f"flesh {name}.{joint}", *skin, profile, Matter.SOFT, caps=(flesh * 1.2, flesh * 1.2)))
        at = _beyond(at, end, 1 + 1.5 / length)  # the joint's cartilage
        base, shaft, head = head * 0.95, shaft * 0.93 if joint else shaft * 0.98, head * (0.74 if joint == 0 else 0.82)
    if not thumb:
        middle = _beyond(start, at, 0.35)
        bodies.append(Tube(f"palm {name}", start, middle, ((0, 13, 13, 0), (1, 12, 11, 0)), Matter.SOFT, caps=(6, 6)))
    return bodies


def _finger_bone(
    name: str, start: Point, end: Point, widths: tuple[float, float, float, Point], kind: tuple[bool, bool]
) -> Tube:
    base, shaft, head, across = widths
    metacarpal, last = kind
    if last:
        profile: tuple[tuple[float, float, float, float], ...] = (
            (0.0, base, base * 0.8, 0), (0.1, base * 0.92, base * 0.7, 0), (0.5, shaft * 0.72, shaft * 0.62, 0),
            (0.82, head * 0.86, head * 0.45, 0), (1.0, head * 0.8, head * 0.4, 0),
        )  # fmt: skip
        return Tube(name, start, end, profile, cortex=(0.45, 1.0), caps=(1.2, 3.0), hollows=(0.5, -0.6), across=across)
    profile = (
        (0.0, base, base * 0.95, 0), (0.08, base * 0.96, base * 0.9, 0), (0.3, shaft * 1.12, shaft, 0),
        (0.5, shaft, shaft, 0), (0.72, shaft * 1.06, shaft, 0), (0.9, head, head * 0.95, 0),
        (1.0, head * 0.96, head * 0.95, 0),
    )  # fmt: skip
    caps = (1.2, head * 0.85) if metacarpal else (1.2, 3.2)
    ends = (0.8, 0.0) if metacarpal else (0.9, 0.7)
    return Tube(name, start, end, profile, cortex=(0.5, 1.7), caps=caps, hollows=ends, across=across)


def _beyond(start: Point, end: Point, factor: float) -> Point:
    return tuple(a + (b - a) * factor for a, b in zip(start, end, strict=True))  # type: ignore[return-value]


def hand_flesh() -> tuple[Body, ...]:
    return (
        Lump("palm", (0, WRIST + 58, 2), (38, 46, 14), turn=4, matter=Matter.SOFT),
        Lump("thenar", (26, WRIST + 42, 6), (17, 36, 15), turn=-34, matter=Matter.SOFT),
        Lump("hypothenar", (-20, WRIST + 45, 4), (15, 38, 14), turn=10, matter=Matter.SOFT),
        Lump("carpal flesh", (3, WRIST + 16, 2), (31, 34, 17), matter=Matter.SOFT),
    )


def forearm_flesh() -> tuple[Body, ...]:
    profile = (
        (0.0, 42, 38, 0),
        (0.2, 45, 39, 0),
        (0.4, 43, 37, 0),
        (0.7, 33, 27, 0),
        (0.88, 27, 20, 2),
        (1.0, 29, 18, 3),
    )
    return (Tube("forearm flesh", (-1, -45, 0), (2, WRIST + 35, 0), profile, Matter.SOFT, caps=(50, 30)),)


def upper_arm_flesh() -> tuple[Body, ...]:
    profile = ((0.0, 62, 55, 0), (0.2, 56, 52, 0), (0.5, 50, 47, 0), (0.8, 43, 40, 0), (1.0, 43, 36, 0))
    return (Tube("upper arm flesh", (-2, -345, 0), (0, 42, 0), profile, Matter.SOFT, caps=(60, 50)),)


def shoulder_girdle() -> tuple[Body, ...]:
    """Scapula, clavicle, ribs and the body beside them."""
    flat = ((0.0, 5, 5, 0), (0.5, 4.5, 4.5, 0), (1.0, 5, 5, 0))
    clavicle = (
        (0.0, 10, 9, 0),
        (0.15, 7, 7, 3),
        (0.4, 5.8, 6, 4),
        (0.65, 5.8, 6, -2),
        (0.9, 7.5, 5.5, -4),
        (1.0, 8, 5, -4),
    )
    spine = ((0.0, 2, 2, 0), (0.3, 3, 3, 0), (0.7, 4.5, 4, 1), (0.85, 7, 5, 0), (1.0, 8, 5, -1))
    edge = ((0.0, 2.4, 2, 0), (1.0, 2.4, 2, 0))
    beak = ((0.0, 7.5, 7.5, 0), (0.6, 6, 6, 0), (1.0, 5.5, 5.5, 0))
    border = ((0.0, 6.5, 6, 0), (0.5, 4.2, 4, 0), (1.0, 3.5, 3.5, 0))
    ribs = tuple(
        Tube(
            f"rib {n}", (-215, -372 + 33 * n, -30), (-88 + 4 * n, -312 + 33 * n, 10), flat,
            cortex=(0.8, 0.9), bend=26, caps=(4, 14),
        )
        for n in range(5)
    )  # fmt: skip
    return (
        *ribs,
        Sheet(
            "scapula/blade", ((-40, -332, -10), (-58, -352, -12), (-97, -368, -22), (-104, -330, -22), (-86, -222, -24),
                        (-72, -232, -20), (-46, -296, -10)), 5.0,
        ),
        Tube("scapula/lateral border", (-43, -303, -8), (-79, -227, -22), border, cortex=(1.0, 2.2)),
        Tube("scapula/medial border", (-97, -366, -22), (-86, -224, -24), edge, cortex=(0.8, 0.9), bend=7),
        Tube("spine of scapula", (-99, -330, -26), (13, -353, -8), spine, cortex=(0.8, 1.6), caps=(4, 7), bend=3),
        Lump("scapula/glenoid", (-43, -318, -4), (8.5, 20, 15), turn=-8, waves=((3, 0.06, 0.5),), cortex=1.3),
        Tube("scapula/coracoid", (-48, -340, -2), (-27, -332, 22), beak, caps=(4, 5), bend=-5),
        Tube("clavicle", (-165, -349, 12), (-15, -359, 4), clavicle, cortex=(0.9, 1.9), caps=(4, 4)),
    )  # fmt: skip


def shoulder_flesh() -> tuple[Body, ...]:
    return (
        Lump("deltoid", (4, -300, 0), (50, 82, 54), turn=-6, matter=Matter.SOFT),
        Lump("shoulder top", (-55, -318, 0), (86, 72, 60), turn=-16, matter=Matter.SOFT),
        Lump("trunk", (-175, -190, 0), (150, 215, 85), matter=Matter.SOFT),
        Lump("lung", (-170, -230, 0), (78, 165, 62), turn=6, matter=Matter.AIR),
    )


def chest() -> tuple[Body, ...]:
    """A crude postero-anterior chest centred at the origin, 400 mm high: it only has to look unlike an arm."""
    rib = ((0.0, 6.5, 4, 0), (1.0, 6.5, 4, 0))
    ribs = tuple(
        Tube(
            f"rib {side} {n}", (side * 16, -150 + 31 * n, -40),
            (side * (92 + 26 * math.sin(0.3 * (n + 1))), -105 + 33 * n, 20), rib, cortex=(0.9, 1.0), bend=side * -22,
        )
        for n in range(9) for side in (-1, 1)
    )  # fmt: skip
    vertebrae = tuple(
        Lump(f"vertebra {n}", (0, -185 + 27 * n, -30), (15, 11.5, 14), waves=((4, 0.08, 0),)) for n in range(14)
    )
    collar = ((0.0, 9, 7, 0), (0.3, 6, 6, 3), (0.7, 6, 6, -3), (1.0, 8, 6, -3))
    return (
        *ribs, *vertebrae,
        Tube("clavicle l", (14, -150, 30), (140, -172, 10), collar, cortex=(0.9, 1.9)),
        Tube("clavicle r", (-14, -150, 30), (-140, -172, 10), collar, cortex=(0.9, 1.9)),
        Lump("trunk", (0, 40, 0), (165, 300, 105), matter=Matter.SOFT),
        Lump("shoulders", (0, -120, 0), (205, 75, 75), matter=Matter.SOFT),
        Lump("neck", (0, -210, 0), (55, 70, 55), matter=Matter.SOFT),
        Lump("lung l", (74, -5, 0), (56, 130, 75), turn=-5, matter=Matter.AIR),
        Lump("lung r", (-76, -12, 0), (58, 128, 75), turn=5, matter=Matter.AIR),
        Tube("heart", (18, 30, 10), (34, 70, 10), ((0, 48, 45, 0), (1, 56, 45, 0)), Matter.SOFT, caps=(45, 55)),
    )  # fmt: skip
