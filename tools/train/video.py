"""Train the denoiser of scenes-video with flow matching, then distil it to four steps.

    python video.py --data DIR --model DIR --fresh --minutes 60 --out FILE.pt

The trainer is the pictures' (dit.py), with the same flags; --model has the text encoder, frozen.
"""
import argparse
import os

import torch

import dit
import flow
import text
import video_batches
import video_models


# 2.4 times as fast in training; compiling takes minutes of processor time, once. Validation goes without.
compiled = torch.compile(video_models.denoise, dynamic=False)


class Net(torch.nn.Module):
    pixel_weight = staticmethod(video_batches.pixel_weight)

    def __init__(self, encoder):
        super().__init__()
        self.text, self.dit = encoder.requires_grad_(False), video_models.transformer()

    @staticmethod
    def mix(x, noise, t):
        k = t.view(-1, 1, 1, 1, 1)
        return (1 - k) * x + k * noise, noise - x

    def forward(self, x, t, ids, mask, tap=None):
        with torch.no_grad():
            h = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        more = video_models.MAX_TOKENS - h.shape[1] # the pipeline's padding is seen by the model
        h, mask = torch.nn.functional.pad(h, (0, 0, 0, more)), torch.nn.functional.pad(mask, (0, more))
        denoise = compiled if torch.is_grad_enabled() else video_models.denoise
        return denoise(self.dit, x, t, h, mask, tap)


class Trainer(dit.Trainer):
    @staticmethod
    def is_matrix(name, p):
        return p.dim() == 2 and "blocks." in name

    def make_net(self):
        from diffusers import WanTransformer3DModel
        from transformers import UMT5EncoderModel
        net = Net(UMT5EncoderModel.from_pretrained(self.args.model + "/text_encoder").float())
        video_models.initialize(net.dit)
        if os.path.exists(self.args.model + "/transformer") and not self.args.fresh:
            kept = WanTransformer3DModel.from_pretrained(self.args.model + "/transformer").float()
            net.dit.load_state_dict(kept.state_dict())
        return net

    def make_reader(self):
        return flow.Reader(video_models.WIDTH, video_batches.coverage, 2, video_batches.CLASSES)

    def make_batches(self, seed):
        return video_batches.Batches(self.args.data, text.Tokens(self.args.model + "/tokenizer"),
                                     seed)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", required=True)
    ap.add_argument("--fresh", action="store_true")
    dit.run(Trainer, ap)


if __name__ == "__main__":
    main()
