"""Train the denoiser of scenes-unet: v-prediction on the discrete schedule, text encoder frozen.

    python unet.py --data DIR --tokenizer DIR --text FILE.pt --minutes 60 --out FILE.pt

The trainer is the transformer's (dit.py); only the network and what it says differ.
"""
import argparse

from diffusers import UNet2DConditionModel

import batches
import dit
import flow
import unet_models

OUTSIDE = ("conv_in", "conv_out", "time_embedding") # of the weights that Muon steps


class Trainer(dit.Trainer):
    @staticmethod
    def is_matrix(name, p):
        return p.dim() in (2, 4) and name.startswith("unet.") and not any(
            part in name for part in OUTSIDE)

    def make_net(self):
        text = unet_models.load_text(self.args.text)
        text.requires_grad_(False)
        net = unet_models.Denoiser(text)
        if self.args.start:
            kept = UNet2DConditionModel.from_pretrained(self.args.start + "/unet").float()
            net.unet.load_state_dict(kept.state_dict())
        return net

    def make_reader(self):
        return flow.Reader(unet_models.CHANNELS[-1], flow.coverage, flow.OBJECTS, flow.CLASSES)

    def make_batches(self, seed):
        return batches.Batches(self.args.data, unet_models.Tokens(self.args.tokenizer), seed)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--text", required=True, help="clip_text.py's file, or an exported folder")
    ap.add_argument("--start", help="an exported folder, whose denoiser is trained on")
    dit.run(Trainer, ap)


if __name__ == "__main__":
    main()
