"""English for clips: what moves, how, and past what, in the words that captions.py has for pictures."""
import captions

MOTIONS = ["left", "right", "bounce", "spin", "grow", "shrink", "orbit"]
# (it does, doing so)
ROLLS = [("rolls", "rolling"), ("rolls", "rolling"), ("moves", "moving")]
SLIDES = [("slides", "sliding"), ("glides", "gliding"), ("moves", "moving")]
TRAVELS = dict(sphere=ROLLS, torus=ROLLS)
DOES = dict(
    bounce=[("bounces", "bouncing"), ("hops", "hopping"), ("jumps", "jumping")],
    spin=[("spins", "spinning"), ("turns", "turning"), ("rotates", "rotating")],
    grow=[("grows", "growing"), ("gets bigger", "growing"), ("swells", "swelling")],
    shrink=[("shrinks", "shrinking"), ("gets smaller", "shrinking")])
CAMERA = ["the camera orbits", "the camera circles", "the camera moves around"]
PAST = ["past", "past", "in front of"]


class Writer(captions.Writer):
    """Words for one clip. `things` are the objects' words in their order, as for pictures."""

    def objects(self, clip, terse):
        self.things = [self.thing(o, terse) for o in clip["objects"]]
        if clip["motion"] in ("left", "right"):
            return self.travel(clip)
        if clip["motion"] == "orbit":
            return self.orbit(terse)
        return self.action(clip, terse)

    def travel(self, clip):
        mover, way = clip["mover"], clip["motion"]
        does, doing = self.pick(TRAVELS.get(clip["objects"][mover]["shape"], SLIDES))
        verb = does if self.chance(0.75) else doing
        way = self.pick([way, f"to the {way}"])
        words = f"{self.things[mover]} {verb} {way}"
        if len(self.things) == 1:
            return words
        other = self.things[1 - mover]
        if self.chance(0.25):
            return f"{self.things[mover]} {verb} past {other} to the {clip['motion']}"
        return f"{words} {self.pick(PAST)} {other}"

    def action(self, clip, terse):
        mover = clip["mover"]
        does, doing = self.pick(DOES[clip["motion"]])
        words = f"{self.things[mover]} {does}"
        if self.chance(0.25): # the verb before the words of the object
            bare = self.things[mover] if terse else self.things[mover].split(" ", 1)[1]
            self.things[mover] = bare
            words = f"{doing} {bare}" if terse else captions.article(f"{doing} {bare}")
        if len(self.things) == 1:
            return words
        other = self.things[1 - mover]
        if self.chance(0.08):
            return f"{words} {self.pick(captions.NEXT_TO[1:])} {other}"
        table = captions.FORWARD if mover == 0 else captions.BACKWARD
        return f"{words} {self.pick(table['left-right'])} {other}"

    def orbit(self, terse):
        words = self.things[0]
        if len(self.things) == 2:
            a, b = self.things
            words = (f"{a} {self.pick(captions.FORWARD['left-right'])} {b}" if self.chance(0.5) else
                     f"{b} {self.pick(captions.BACKWARD['left-right'])} {a}")
        if terse or self.chance(0.3):
            return f"{words}, {self.pick(CAMERA)}"
        return f"{self.pick(CAMERA)} {words}"


def caption(clip, rng, empty=0.1):
    return "" if rng.random() < empty else Writer(rng).caption(clip)


def wants(clip):
    """What a clip shows, as gen-eval and the judge name it. First what moves (the left object, where
    the camera does); a side where both objects keep to theirs."""
    mover, keeps = clip["mover"], clip["motion"] not in ("left", "right")
    objects = [{k: o[k] for k in ("shape", "color")} for o in clip["objects"]]
    side = ("left", "right")[mover] if keeps and len(objects) == 2 else "none"
    return dict(motion=clip["motion"], side=side, ground=clip["ground"], sky=clip["sky"],
                objects=objects[mover:] + objects[:mover])


def evaluation_prompt(clip, rng):
    """(prompt, what it demands). Ground and sky are demanded where they are said."""
    w, want = Writer(rng), wants(clip)
    plain = dict(clip, objects=[{k: o[k] for k in ("shape", "color")} for o in clip["objects"]])
    while True: # words that leave the sides open demand nothing of them
        prompt = w.caption(plain)
        if not any(f" {x} " in prompt for x in captions.NEXT_TO[1:]):
            break
    for k, said in zip(("ground", "sky"), w.scenery):
        want[k] = want[k] if said else None
    return prompt, want


if __name__ == "__main__":
    import numpy as np

    import video_data
    draw = np.random.default_rng(0)
    for c in video_data.describe(0, 40):
        print(caption(c, draw))
