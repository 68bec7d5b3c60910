"""English for scenes: random captions in training, fixed prompts with what each must show.

A caption is lower-case. It always names the shape and colour of every object and how they stand;
material, ground and sky are said or left out by lot.
"""
import numpy as np

SHAPES = ["sphere", "cube", "cylinder", "cone", "torus", "pyramid"]
COLORS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
MATERIALS = ["matte", "shiny"]
GROUNDS = ["checkerboard", "wood", "grass", "sand"]
SKIES = ["day", "sunset", "night"]
LAYOUTS = ["single", "left-right", "front-behind", "on-top"]

SHAPE_WORDS = dict(
    sphere=["sphere", "sphere", "ball"], cube=["cube", "cube", "box", "block"],
    cylinder=["cylinder"], cone=["cone"], torus=["torus", "ring", "donut"], pyramid=["pyramid"])
COLOR_WORDS = dict(
    red=["red"], orange=["orange"], yellow=["yellow"], green=["green"],
    cyan=["cyan", "cyan", "turquoise"], blue=["blue"], purple=["purple", "purple", "violet"],
    pink=["pink"])
MATERIAL_WORDS = dict(matte=["matte", "dull"], shiny=["shiny", "glossy"])
GROUND_WORDS = dict(
    checkerboard=["on a checkerboard", "on a checkerboard floor", "on a chessboard",
                  "on a checkered floor", "on checkered tiles"],
    wood=["on wood", "on a wooden floor", "on wooden planks", "on a wooden table"],
    grass=["on grass", "on green grass", "on a lawn", "in a meadow", "on the grass"],
    sand=["on sand", "in the sand", "on a beach", "in the desert", "on the sand"])
SKY_WORDS = dict(
    day=["by day", "at noon", "in daylight", "under a blue sky", "in the sun"],
    sunset=["at sunset", "at dusk", "in the evening", "under an orange sky", "in evening light"],
    night=["at night", "under the moon", "by moonlight", "under a dark sky", "in the dark"])
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
NEXT_TO = ["and", "next to", "beside", "with"]


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


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

    def thing(self, obj, terse=False):
        words = self.pick(COLOR_WORDS[obj["color"]]) + " " + self.pick(SHAPE_WORDS[obj["shape"]])
        if "material" in obj and self.chance(0.15):
            words = self.pick(MATERIAL_WORDS[obj["material"]]) + " " + words
        return words if terse else article(words)

    def objects(self, scene, terse):
        objs = scene["objects"]
        self.things = [self.thing(o, terse) for o in objs]
        if len(objs) == 1:
            return self.things[0]
        kind = scene["layout"]
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
    return "" if rng.random() < empty else Writer(rng).caption(scene)


def labels(scene):
    """[layout, ground, sky, shape A, colour A, material A, shape B, colour B, material B].

    The second object of a single is len(SHAPES), len(COLORS), len(MATERIALS): none.
    """
    out = [LAYOUTS.index(scene["layout"]), GROUNDS.index(scene["ground"]),
           SKIES.index(scene["sky"])]
    for i in range(2):
        if i < len(scene["objects"]):
            o = scene["objects"][i]
            out += [SHAPES.index(o["shape"]), COLORS.index(o["color"]),
                    MATERIALS.index(o["material"])]
        else:
            out += [len(SHAPES), len(COLORS), len(MATERIALS)]
    return out


HEADS = dict(layout=len(LAYOUTS), ground=len(GROUNDS), sky=len(SKIES),
             shape_a=len(SHAPES), color_a=len(COLORS), material_a=len(MATERIALS),
             shape_b=len(SHAPES) + 1, color_b=len(COLORS) + 1, material_b=len(MATERIALS) + 1)


def evaluation_prompt(scene, rng):
    """(prompt, what it demands). Material is never demanded; ground and sky three times in four."""
    w = Writer(rng)
    objs = [{k: o[k] for k in ("shape", "color")} for o in scene["objects"]]
    say_ground, say_sky = w.chance(0.75), w.chance(0.75)
    kind = scene["layout"]
    a, b = w.thing(objs[0]), w.thing(objs[-1])
    if kind == "single":
        words = a
    elif w.chance(0.5):
        words = f"{a} {w.pick(FORWARD[kind])} {b}"
    else:
        words = f"{b} {w.pick(BACKWARD[kind])} {a}"
    ground = w.pick(GROUND_WORDS[scene["ground"]]) if say_ground else ""
    if kind == "on-top" and ground.startswith("on "):
        words += ","
    sky = w.pick(SKY_WORDS[scene["sky"]]) if say_sky else ""
    prompt = " ".join(x for x in (words, ground, sky) if x)
    return prompt, dict(layout=kind, ground=scene["ground"] if say_ground else None,
                        sky=scene["sky"] if say_sky else None, objects=objs)


if __name__ == "__main__":
    import data
    draw = np.random.default_rng(0)
    for s in data.describe(0, 40):
        print(caption(s, draw))
