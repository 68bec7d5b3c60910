"""Teach the text encoder of clips to read captions: text.py's lessons, for UMT5 and what moves.

    python video_text.py --tokenizer DIR --out FILE.pt
"""
import text
import video_captions
import video_data
import video_models

# What the words of an object tell: whether it moves, and on which side it stands if it keeps to one.
STANDING = ["alone", "traveller", "passed", "mover left", "mover right", "other left", "other right",
            "seen left", "seen right"]


class World:
    writer = video_captions.Writer
    standing = STANDING
    own = dict(standing=len(STANDING), motion=len(video_captions.MOTIONS), **text.WORDS)

    @staticmethod
    def whole(clip):
        return dict(motion=video_captions.MOTIONS.index(clip["motion"]))

    @staticmethod
    def standings(clip):
        if len(clip["objects"]) == 1:
            return ["alone"]
        if clip["motion"] == "orbit":
            return ["seen left", "seen right"]
        if clip["motion"] in ("left", "right"):
            return ["traveller", "passed"][::1 if clip["mover"] == 0 else -1]
        return ["mover left", "other right"] if clip["mover"] == 0 else ["other left", "mover right"]


def main():
    args = text.arguments(__doc__)
    tokens = text.Tokens(args.tokenizer)
    model = video_models.text_encoder((len(tokens.sp) + 7) // 8 * 8)
    text.teach(World, model, tokens, video_data.describe(0, 24000),
               video_data.describe(9_000_000, 2000, "held-out"), args)


if __name__ == "__main__":
    main()
