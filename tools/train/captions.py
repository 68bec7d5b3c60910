"""English for scenes: random captions in training, fixed prompts with what each must show.

A caption is lower-case. It always names the shape and colour of every object, that it is striped, small
or large if it is, how many there are and how they stand; whether it is matte or shiny, ground and sky
are said or left out by lot.
"""
import numpy as np

SHAPES = ["sphere", "cube", "cylinder", "cone", "torus", "pyramid", "capsule", "star", "cross", "heart"]
COLORS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black"]
PATTERNS = ["plain", "striped"]
SIZES = ["normal", "small", "large"]
COUNTS = ["one", "two", "three", "four"]
GROUNDS = ["checkerboard", "wood", "grass", "sand", "snow", "brick"]
SKIES = ["day", "sunset", "night", "cloudy"]
LAYOUTS = ["single", "left-right", "front-behind", "on-top", "row", "group"]
# The plain world, that of clips, has the first of each.
PLAIN_SHAPES, PLAIN_COLORS, PLAIN_GROUNDS, PLAIN_SKIES = SHAPES[:6], COLORS[:8], GROUNDS[:4], SKIES[:3]
ATTRIBUTES = dict(shape=SHAPES, color=COLORS, pattern=PATTERNS, size=SIZES) # of an object, that are judged
OPEN = -1 # of a label: anything will do
SLOTS = "abc" # what a scene shows, in its order; all of a group are a

SHAPE_WORDS = dict(
    sphere=["sphere", "sphere", "ball"], cube=["cube", "cube", "box", "block"],
    cylinder=["cylinder"], cone=["cone"], torus=["torus", "ring", "donut"], pyramid=["pyramid"],
    capsule=["capsule", "pill"], star=["star"], cross=["cross", "cross", "plus"], heart=["heart"])
PLURALS = dict(box="boxes", torus="toruses", cross="crosses", plus="pluses")
COLOR_WORDS = dict(
    red=["red"], orange=["orange"], yellow=["yellow"], green=["green"],
    cyan=["cyan", "cyan", "turquoise"], blue=["blue"], purple=["purple", "purple", "violet"],
    pink=["pink"], white=["white"], black=["black"])
SIZE_WORDS = dict(normal=[], small=["small", "small", "little", "tiny"],
                  large=["large", "large", "big", "huge"])
STRIPED = "striped"
MATERIAL_WORDS = dict(matte=["matte", "dull"], shiny=["shiny", "glossy"])
GROUND_WORDS = dict(
    checkerboard=["on a checkerboard", "on a checkerboard floor", "on a chessboard",
                  "on a checkered floor", "on checkered tiles"],
    wood=["on wood", "on a wooden floor", "on wooden planks", "on a wooden table"],
    grass=["on grass", "on green grass", "on a lawn", "in a meadow", "on the grass"],
    sand=["on sand", "in the sand", "on a beach", "in the desert", "on the sand"],
    snow=["on snow", "in the snow", "on the snow", "in winter"],
    brick=["on bricks", "on a brick floor", "on brick pavement", "on paving bricks"])
SKY_WORDS = dict(
    day=["by day", "at noon", "in daylight", "under a blue sky", "in the sun"],
    sunset=["at sunset", "at dusk", "in the evening", "under an orange sky", "in evening light"],
    night=["at night", "under the moon", "by moonlight", "under a dark sky", "in the dark"],
    cloudy=["on a cloudy day", "under clouds", "under a gray sky", "in dull weather"])
# How the first object stands to the second, and the second to the first.
FORWARD = {
    "left-right": ["left of", "to the left of", "on the left of"],
    "front-behind": ["in front of", "before"],
    "on-top": ["on", "on top of", "standing on", "on top of"]}
BACKWARD = {
    "left-right": ["right of", "to the right of", "on the right of"],
    "front-behind": ["behind"],
    "on-top": ["under", "below", "beneath", "underneath"]}
OPENINGS = ["a picture of ", "an image of ", "a render of ", "a photo of ", "there is ", "we see "]
FROM_LEFT, FROM_RIGHT = ["from left to right", "from the left"], ["from right to left", "from the right"]
NEXT_TO = ["and", "next to", "beside", "with"]


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def plural(noun):
    return PLURALS.get(noun, noun + "s")


class Writer:
    """Words for one scene; all draws come from `rng` (a numpy Generator)."""

    def __init__(self, rng):
        self.rng = rng
        self.things = [] # the words last written for each object
        self.scenery = ["", ""] # and for ground and sky

    def pick(self, words):
        return words[self.rng.integers(len(words))]

    def chance(self, p):
        return self.rng.random() < p

    def thing(self, obj, terse=False, count=1):
        color, noun = self.pick(COLOR_WORDS[obj["color"]]), self.pick(SHAPE_WORDS[obj["shape"]])
        words = [color, noun if count == 1 else plural(noun)]
        if obj.get("material") == "striped":
            words.insert(int(self.chance(0.3)), STRIPED)
        elif "material" in obj and self.chance(0.15):
            words.insert(0, self.pick(MATERIAL_WORDS[obj["material"]]))
        if SIZE_WORDS[obj.get("size", "normal")] and count == 1:
            words.insert(0, self.pick(SIZE_WORDS[obj["size"]]))
        words = " ".join(words)
        if count > 1:
            return COUNTS[count - 1] + " " + words
        return words if terse else article(words)

    def objects(self, scene, terse):
        kind, objs = scene["layout"], scene["objects"]
        if kind == "group":
            self.things = [self.thing(objs[0], terse, len(objs))]
        else:
            self.things = [self.thing(o, terse) for o in objs]
        if len(self.things) == 1:
            return self.things[0]
        return self.row(terse) if kind == "row" else self.pair(kind, terse)

    def row(self, terse):
        a, b, c = self.things
        lot = self.rng.random()
        if lot < 0.10:
            return f"{a}, {b}, {c}" if terse else f"{a}, {b} and {c}"
        if lot < 0.40:
            return f"{a}, {b} and {c} {self.pick(FROM_LEFT)}"
        if lot < 0.55:
            return f"{self.pick(FROM_LEFT)} {a}, {b} and {c}"
        if lot < 0.70:
            return f"{c}, {b} and {a} {self.pick(FROM_RIGHT)}"
        if lot < 0.85:
            return f"{a} on the left, {b} in the middle, {c} on the right"
        return f"{b} between {a} on the left and {c} on the right"

    def pair(self, kind, terse):
        a, b = self.things
        lot = self.rng.random()
        if kind == "left-right":
            if lot < 0.08:
                return f"{a}, {b}" if terse else f"{a} {self.pick(NEXT_TO)} {b}"
            if lot < 0.18:
                return (f"{a} on the left and {b} on the right" if self.chance(0.5) else
                        f"on the left {a}, on the right {b}")
            if lot < 0.24:
                return f"{b} on the right and {a} on the left"
        if kind == "front-behind" and lot < 0.12:
            return (f"{a} in front and {b} behind" if self.chance(0.5) else
                    f"{b} in the back and {a} in the front")
        if kind == "on-top" and lot < 0.10:
            return f"{b} with {a} on top" if self.chance(0.6) else f"{b} carrying {a}"
        if self.chance(0.5):
            return f"{a} {self.pick(FORWARD[kind])} {b}"
        return f"{b} {self.pick(BACKWARD[kind])} {a}"

    def caption(self, scene, bare=False):
        terse = self.chance(0.15)
        words = self.objects(scene, terse)
        self.scenery = ["", ""]
        if bare:
            return words
        ground = self.pick(GROUND_WORDS[scene["ground"]]) if self.chance(0.62) else ""
        sky = self.pick(SKY_WORDS[scene["sky"]]) if self.chance(0.62) else ""
        self.scenery = [ground, sky]
        if terse or (scene["layout"] == "on-top" and ground.startswith("on ")):
            words += "," if ground else ""
        elif self.chance(0.12):
            words += "," if ground or sky else ""
        if sky and self.chance(0.12):
            return f"{sky}, {words} {ground}".strip().rstrip(",")
        if not terse and self.chance(0.12):
            words = self.pick(OPENINGS) + words
        return " ".join(w for w in (words, ground, sky) if w).rstrip(",")


def caption(scene, rng, empty=0.1):
    return caption_and_demand(scene, rng, empty)[0]


def heads():
    """{what can be read off a picture: its classes}; an object that is not there is none."""
    out = dict(layout=LAYOUTS, count=COUNTS, ground=GROUNDS, sky=SKIES)
    for slot in SLOTS:
        for what, names in ATTRIBUTES.items():
            out[f"{what}_{slot}"] = names + (["none"] if slot != "a" else [])
    return out


HEADS = heads()


def described(obj):
    """What of an object is judged."""
    return dict(shape=obj["shape"], color=obj["color"],
                pattern="striped" if obj["material"] == "striped" else "plain", size=obj["size"])


def shown(scene):
    """{head: its class}"""
    objs = scene["objects"]
    kinds = [described(o) for o in (objs[:1] if scene["layout"] == "group" else objs)]
    kinds += [dict.fromkeys(kinds[0], "none")] * (len(SLOTS) - len(kinds))
    out = dict(layout=scene["layout"], count=COUNTS[len(objs) - 1], ground=scene["ground"],
               sky=scene["sky"])
    out.update({f"{what}_{slot}": name for slot, kind in zip(SLOTS, kinds) for what, name in kind.items()})
    return out


def labels(scene):
    """The index of each head's class, in their order."""
    names = shown(scene)
    return [HEADS[k].index(names[k]) for k in HEADS]


def object_labels(objects, most):
    """[most, attributes] indices, those that are not there as 0."""
    rows = [described(o) for o in objects]
    rows = [[names.index(r[k]) for k, names in ATTRIBUTES.items()] for r in rows]
    return rows + [[0] * len(ATTRIBUTES)] * (most - len(rows))


def caption_and_demand(scene, rng, empty=0.1):
    """(caption, what it demands: `labels`, OPEN where it says nothing of one)"""
    if rng.random() < empty:
        return "", [OPEN] * len(HEADS)
    writer = Writer(rng)
    text = writer.caption(scene)
    said = dict(zip(HEADS, labels(scene)))
    for head, words in zip(("ground", "sky"), writer.scenery):
        if not words:
            said[head] = OPEN
    if scene["layout"] == "group": # how large they are is not said
        said["size_a"] = OPEN
    return text, list(said.values())


def evaluation_prompt(scene, rng):
    """(prompt, what it demands). Ground and sky are said three times in four."""
    w, kind, objs = Writer(rng), scene["layout"], scene["objects"]
    plain = [dict(o, material=o["material"] if o["material"] == "striped" else None) for o in objs]
    plain = [{k: v for k, v in o.items() if v} for o in plain]
    say_ground, say_sky = w.chance(0.75), w.chance(0.75)
    while True: # words that leave open how things stand demand nothing of it
        words = w.objects(dict(scene, objects=plain), False)
        said = words.startswith(tuple(FROM_LEFT)) or words.endswith(tuple(FROM_LEFT + FROM_RIGHT))
        if not (kind == "row" and not said and " on the " not in words) and not (
                kind == "left-right" and any(f" {x} " in words for x in NEXT_TO) and " on " not in words):
            break
    ground = w.pick(GROUND_WORDS[scene["ground"]]) if say_ground else ""
    if kind == "on-top" and ground.startswith("on "):
        words += ","
    sky = w.pick(SKY_WORDS[scene["sky"]]) if say_sky else ""
    demanded = [described(o) for o in (objs[:1] if kind == "group" else objs)]
    if kind == "group":
        del demanded[0]["size"]
    return " ".join(x for x in (words, ground, sky) if x), dict(
        layout=kind, count=COUNTS[len(objs) - 1], ground=scene["ground"] if say_ground else None,
        sky=scene["sky"] if say_sky else None, objects=demanded)


if __name__ == "__main__":
    import data
    draw = np.random.default_rng(0)
    for s in data.describe(0, 40):
        print(caption(s, draw))
