"""Golden trajectories of diffusers' schedulers: samplers.safetensors and .json, and samplers_cogvideox of those of
CogVideoX (or only the files that are named).

The network is replaced by a formula, so a test needs nothing but the sampler:
    m = 0.6 * x_in + 0.3 * sin(2 * x_in + t / 1000)
with x_in what scale_model_input returns and t the timestep the network is given.
"""
import inspect
import itertools
import json
import sys
import tempfile

from common import generator, randn, save_golden, save_json

import numpy as np
import torch
from diffusers import (CogVideoXDDIMScheduler, CogVideoXDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, DPMSolverSDEScheduler,
                       EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
                       FlowMatchEulerDiscreteScheduler, HeunDiscreteScheduler, LCMScheduler,
                       PNDMScheduler, TCDScheduler, UniPCMultistepScheduler)

SHAPE = (1, 4, 2, 2)
COUNTS = (1, 4, 7, 10, 20)  # 7 does not divide 1000
IMG2IMG = (10, 0.6)         # steps and strength: the last int(10 * 0.6) steps run

SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
LINEAR = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")


def cases():
    """Yields (name, scheduler, sigmas given by the pipeline or None)."""
    for shift in (1.0, 3.0):
        flow = FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=False)
        yield f"flow_shift{shift:g}", flow, None
    # pipelines such as Flux's pass sigmas = linspace(1, 1/N, N) themselves
    for shift in (1.0, 3.0):
        flow = FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=False)
        yield f"flow_shift{shift:g}_given", flow, lambda n: np.linspace(1.0, 1.0 / n, n)

    for spacing in ("leading", "linspace", "trailing"):
        for prediction in ("epsilon", "v_prediction"):
            for karras in (False, True):
                yield (f"euler_{spacing}_{prediction}" + "_karras" * karras,
                       EulerDiscreteScheduler(**SD, timestep_spacing=spacing, prediction_type=prediction,
                                              steps_offset=1, use_karras_sigmas=karras), None)

    ddim = dict(SD, clip_sample=False)
    for spacing in ("leading", "trailing"):
        for to_one in (False, True):
            for prediction in ("epsilon", "v_prediction"):
                yield (f"ddim_{spacing}_{prediction}" + ("_to_one" if to_one else ""),
                       DDIMScheduler(**ddim, timestep_spacing=spacing, set_alpha_to_one=to_one,
                                     steps_offset=1 if spacing == "leading" else 0,
                                     prediction_type=prediction), None)
    yield "ddim_zero_snr", DDIMScheduler(**ddim, timestep_spacing="trailing", set_alpha_to_one=False,
                                         prediction_type="v_prediction",
                                         rescale_betas_zero_snr=True), None

    dpm = dict(algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint",
               lower_order_final=True, prediction_type="epsilon")
    variants = {
        "pixart": dict(LINEAR),
        "sd": dict(SD, steps_offset=1, timestep_spacing="leading"),
        "sd_trailing_v": dict(SD, timestep_spacing="trailing", prediction_type="v_prediction"),
        "sd_karras": dict(SD, use_karras_sigmas=True),
        "pixart_karras": dict(LINEAR, use_karras_sigmas=True),
        "pixart_sigma_min": dict(LINEAR, final_sigmas_type="sigma_min"),
        "sd_karras_sigma_min": dict(SD, use_karras_sigmas=True, final_sigmas_type="sigma_min"),
        "pixart_euler_final": dict(LINEAR, euler_at_final=True),
        "pixart_no_lower_order": dict(LINEAR, lower_order_final=False, final_sigmas_type="sigma_min"),
        "pixart_first_order": dict(LINEAR, solver_order=1),
        "pixart_heun": dict(LINEAR, solver_type="heun"),
        "sd_zero_snr_v": dict(SD, timestep_spacing="trailing", prediction_type="v_prediction",
                              rescale_betas_zero_snr=True),
        "flow_shift3": dict(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
        "flow_shift1": dict(use_flow_sigmas=True, flow_shift=1.0, prediction_type="flow_prediction"),
    }
    for name, changes in variants.items():
        yield f"dpm_{name}", DPMSolverMultistepScheduler(**{**dpm, **changes}), None


def drawing_cases():
    """The same for schedulers that draw noise; behind the others, whose seeds go by position."""
    for spacing in ("leading", "linspace", "trailing"):
        for prediction in ("epsilon", "v_prediction"):
            yield (f"euler_a_{spacing}_{prediction}",
                   EulerAncestralDiscreteScheduler(**SD, timestep_spacing=spacing, steps_offset=1,
                                                   prediction_type=prediction), None)
    for prediction in ("epsilon", "v_prediction"):
        yield f"lcm_{prediction}", LCMScheduler(**SD, prediction_type=prediction), None
    yield "lcm_other_origin", LCMScheduler(**SD, original_inference_steps=25, timestep_scaling=4.0), None


class TwoPartPath:
    """Increments of one Brownian path per step, over its first part and over the whole of it."""
    def __init__(self, shape):
        self.shape, self.generator, self.first = shape, generator(7), None

    def __call__(self, sigma, sigma_next):
        fresh = torch.randn(self.shape, generator=self.generator)
        if self.first is None:
            self.first = (fresh, sigma_next)
            return fresh
        (begin, middle), self.first = self.first, None
        share = (sigma - middle) / (sigma - sigma_next)
        return share.sqrt() * begin + (1 - share).sqrt() * fresh


def more_cases():
    """Behind the others, whose seeds go by position. Yields (name, scheduler)."""
    for spacing in ("leading", "linspace", "trailing"):
        for prediction in ("epsilon", "v_prediction"):
            common = dict(SD, timestep_spacing=spacing, steps_offset=1, prediction_type=prediction)
            yield f"heun_{spacing}_{prediction}", HeunDiscreteScheduler(**common)
            yield f"dpmpp_sde_{spacing}_{prediction}", DPMSolverSDEScheduler(**common)
            yield f"pndm_{spacing}_{prediction}", PNDMScheduler(**common, skip_prk_steps=True)
    yield "pndm_to_one", PNDMScheduler(**SD, skip_prk_steps=True, set_alpha_to_one=True)
    for curve in ("karras", "exponential", "beta"):
        use = {f"use_{curve}_sigmas": True}
        yield f"heun_{curve}", HeunDiscreteScheduler(**SD, **use)
        yield f"dpmpp_sde_{curve}", DPMSolverSDEScheduler(**SD, **use)
        yield f"unipc_{curve}", UniPCMultistepScheduler(**SD, **use)
        if curve != "karras":
            yield f"euler_{curve}", EulerDiscreteScheduler(**SD, **use)
            yield f"dpm_{curve}", DPMSolverMultistepScheduler(**SD, **use)
            yield f"flow_{curve}", FlowMatchEulerDiscreteScheduler(shift=3.0, **use)
    for order in (1, 2, 3):
        for kind in ("bh1", "bh2"):
            last = dict(final_sigmas_type="sigma_min") if kind == "bh1" else {}
            yield f"unipc_{order}_{kind}", UniPCMultistepScheduler(**SD, solver_order=order,
                                                                   solver_type=kind, **last)
    yield "unipc_v_leading", UniPCMultistepScheduler(**SD, prediction_type="v_prediction", steps_offset=1,
                                                     timestep_spacing="leading")
    yield "unipc_zero_snr", UniPCMultistepScheduler(**SD, prediction_type="v_prediction",
                                                    timestep_spacing="trailing", rescale_betas_zero_snr=True)
    for shift in (1.0, 5.0):
        yield f"unipc_flow_shift{shift:g}", UniPCMultistepScheduler(
            use_flow_sigmas=True, flow_shift=shift, prediction_type="flow_prediction")
    for name, changes in {"3m": dict(solver_order=3), "3m_heun": dict(solver_order=3, solver_type="heun"),
                          "3m_karras": dict(solver_order=3, use_karras_sigmas=True),
                          "3m_no_lower_order": dict(solver_order=3, lower_order_final=False,
                                                    final_sigmas_type="sigma_min")}.items():
        for kind in ("dpmsolver++", "sde-dpmsolver++"):
            sde = "_sde" if kind != "dpmsolver++" else ""
            yield f"dpm_{name}{sde}", DPMSolverMultistepScheduler(**{**SD, **changes}, algorithm_type=kind)
    for name, changes in {"2m": {}, "2m_heun": dict(solver_type="heun"), "1": dict(solver_order=1),
                          "2m_v": dict(prediction_type="v_prediction")}.items():
        yield f"dpm_{name}_sde", DPMSolverMultistepScheduler(**{**SD, **changes},
                                                             algorithm_type="sde-dpmsolver++")
    for prediction in ("epsilon", "v_prediction", "sample"):
        yield f"tcd_{prediction}", TCDScheduler(**SD, prediction_type=prediction)
    # eta is an argument of step(), not of the class
    yield "ddim_eta0.7", DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    yield "ddim_eta1", DDIMScheduler(**SD, clip_sample=False, timestep_spacing="trailing")
    for eta in ("0", "0.8"):
        yield f"tcd_eta{eta}", TCDScheduler(**SD)


def cogvideox_cases():
    """Yields (name, scheduler). Their zero_snr levels differ from those of other classes."""
    common = dict(SD, clip_sample=False, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    for shift in (1.0, 3.0):
        for kind in (CogVideoXDDIMScheduler, CogVideoXDPMScheduler):
            name = "ddim" if kind is CogVideoXDDIMScheduler else "dpm"
            yield f"cogvideox_{name}_shift{shift:g}", kind(**common, snr_shift_scale=shift,
                                                           timestep_spacing="trailing")
    yield "cogvideox_ddim_linspace", CogVideoXDDIMScheduler(**common, timestep_spacing="linspace")
    yield "cogvideox_dpm_leading", CogVideoXDPMScheduler(**SD, prediction_type="epsilon", set_alpha_to_one=False)


def eta_of(name):
    return float(name.split("_eta")[1]) if "_eta" in name else None


def config_of(scheduler):
    """What scheduler_config.json would hold."""
    with tempfile.TemporaryDirectory() as tmp:
        scheduler.save_pretrained(tmp)
        with open(tmp + "/scheduler_config.json", encoding="utf-8") as f:
            config = json.load(f)
    # JSON proper has no infinity; real scheduler files do spell it -Infinity
    return {k: ("-inf" if v == float("-inf") else v) for k, v in config.items()}


def toy_model(x, t):
    return 0.6 * x + 0.3 * torch.sin(2 * x + t.to(torch.float32) / 1000)


def start(scheduler, n, given):
    if given:
        scheduler.set_timesteps(sigmas=given(n))
    else:
        scheduler.set_timesteps(n)


def run(scheduler, x, timesteps, eta):
    """Returns the samples, first the initial one; noise is of seed 7."""
    samples = [x]
    if isinstance(scheduler, DPMSolverSDEScheduler):
        scheduler.noise_sampler = TwoPartPath(x.shape)
    draws = "generator" in inspect.signature(scheduler.step).parameters
    more = {"generator": generator(7)} if draws else {}
    if eta is not None:
        more["eta"] = eta
    if isinstance(scheduler, CogVideoXDPMScheduler):
        return run_two_steps(scheduler, x, timesteps, more)
    for t in timesteps:
        x_in = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        m = toy_model(x_in, t)
        x = scheduler.step(m, t, x, return_dict=False, **more)[0]
        samples.append(x)
    return torch.cat(samples)


def run_two_steps(scheduler, x, timesteps, more):
    """The same for a scheduler that is given the prediction and the timestep before."""
    samples, clean, back = [x], None, None
    for t in timesteps:
        x, clean = scheduler.step(toy_model(x, t), clean, t, back, x, return_dict=False, **more)
        back = t
        samples.append(x)
    return torch.cat(samples)


def img2img(scheduler, given, seed, eta):
    """Noise added to a clean latent, then the rest of the schedule."""
    n, strength = IMG2IMG
    start(scheduler, n, given)
    begin = n - min(int(n * strength), n)
    order = 2 if isinstance(scheduler, (HeunDiscreteScheduler, DPMSolverSDEScheduler)) else 1
    begin *= order  # evaluations
    scheduler.set_begin_index(begin) if hasattr(scheduler, "set_begin_index") else None
    clean, noise = randn(seed, *SHAPE), randn(seed + 1, *SHAPE)
    timesteps = scheduler.timesteps[begin:]
    if hasattr(scheduler, "scale_noise"):
        noisy = scheduler.scale_noise(clean, timesteps[:1], noise)
    else:
        noisy = scheduler.add_noise(clean, noise, timesteps[:1])
    return {"clean": clean, "noise": noise, "sample": run(scheduler, noisy, timesteps, eta)}


def write(file, all_cases, first):
    tensors, index = {}, []
    for number, (name, scheduler, given) in enumerate(all_cases, first):
        entry = {"name": name, "config": config_of(scheduler), "given_sigmas": bool(given), "runs": []}
        eta = eta_of(name)
        if eta is not None:
            entry["eta"] = eta
        for n in COUNTS:
            start(scheduler, n, given)
            sigma = float(getattr(scheduler, "init_noise_sigma", 1.0))
            samples = run(scheduler, randn(1000 + number, *SHAPE) * sigma,
                                           scheduler.timesteps, eta)
            key = f"{name}/{n}/"
            tensors[key + "sample"] = samples
            tensors[key + "timesteps"] = scheduler.timesteps.to(torch.float32)
            if hasattr(scheduler, "sigmas"):
                tensors[key + "sigmas"] = scheduler.sigmas.to(torch.float32)
            entry["runs"].append({"steps": n, "init_noise_sigma": sigma})
        tensors.update({f"{name}/img2img/{k}": v for k, v in img2img(scheduler, given, 2000 + 2 * number, eta).items()})
        index.append(entry)
        table = scheduler.config.get("beta_schedule")
        if table and not scheduler.config.get("use_flow_sigmas"):
            zero = "_zero_snr" if scheduler.config.get("rescale_betas_zero_snr") else ""
            kind = "/dpm" if zero and "DPM" in type(scheduler).__name__ else ""
            tensors[f"alphas_cumprod/{table}{zero}{kind}"] = scheduler.alphas_cumprod.float()
    save_golden(file, tensors, f"see {file}.json; sample[0] is the initial one")
    save_json(file, {"img2img": dict(zip(("steps", "strength"), IMG2IMG))}, index)


def not_given(named):
    return ((name, scheduler, None) for name, scheduler in named)


def main(files):
    if not files or "samplers" in files:
        write("samplers", itertools.chain(cases(), drawing_cases(), not_given(more_cases())), 0)
    if not files or "samplers_cogvideox" in files:
        write("samplers_cogvideox", not_given(cogvideox_cases()), 500)


if __name__ == "__main__":
    main(sys.argv[1:])
