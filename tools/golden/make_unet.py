"""Golden outputs of the tiny UNets: unet_tiny, unet_xl, unet_lcm, unet_inpaint."""
import os

from common import MODELS, randn, save_golden

import torch
from diffusers import UNet2DConditionModel
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import (
    LatentConsistencyModelPipeline)


def run(folder, name, seed, height, width, tokens):
    model = UNet2DConditionModel.from_pretrained(os.path.join(MODELS, folder, "unet")).eval()
    config = model.config
    inputs = {"latent": randn(seed, 2, config.in_channels, height, width),
              "timestep": torch.tensor([981.0]),
              "encoder": randn(seed + 1, 2, tokens, config.cross_attention_dim)}
    added, cond = None, None
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs["pooled"] = randn(seed + 2, 2, pooled)
        inputs["time_ids"] = torch.tensor([[64.0, 48, 0, 0, 64, 48], [128, 96, 8, 4, 64, 48]])
        added = {"text_embeds": inputs["pooled"], "time_ids": inputs["time_ids"]}
    if config.time_cond_proj_dim:
        w = torch.tensor([7.5]) - 1
        inputs["guidance"] = 1000 * w
        cond = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
            None, w, embedding_dim=config.time_cond_proj_dim).repeat(2, 1)
    out = model(inputs["latent"], inputs["timestep"][0], encoder_hidden_states=inputs["encoder"],
                timestep_cond=cond, added_cond_kwargs=added).sample
    save_golden(name, {**inputs, "output": out}, "batch 2, one timestep; output [2,C,H,W]")


if __name__ == "__main__":
    run("tiny-sd", "unet_tiny", 411, 8, 12, 20)
    run("tiny-xl", "unet_xl", 421, 8, 8, 20)
    run("tiny-unet-lcm", "unet_lcm", 431, 12, 8, 9)
    run("tiny-unet-inpaint", "unet_inpaint", 441, 4, 4, 5)
