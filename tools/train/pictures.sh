#!/usr/bin/env bash
# Trains scenes-dit and scenes-unet, stage by stage; a stage that has run is left out, one that
# was interrupted goes on.
#
#   W=/somewhere/work tools/train/pictures.sh [stage ...]
#
# Minutes are those of a processor's core, of each of $CORES processes; on a GPU far fewer do.
set -euo pipefail
cd "$(dirname "$0")"
: "${W:?the folder for everything in between}" "${PYTHON:=python3}" "${CORES:=$(nproc)}"
: "${PICTURES:=12}" "${SHARDS:=30}" "${VAE_MINUTES:=60}" "${DENOISER_MINUTES:=150}"
export OMP_NUM_THREADS=1
models=../../assets/models dit=$models/scenes-dit unet=$models/scenes-unet
mkdir -p "$W/data" "$W/shards"

render=$($PYTHON -c 'import data; print(data.renderer())')

# 2000 pictures each, a minute each on one core: of everything, for what reads no words
pictures() {
    seq 0 $((PICTURES - 1)) | xargs -P "$CORES" -I{} bash -c '
        [ -e "$1/t$2.rgb" ] || { "$0" --split all --first-seed $((20000000 + $2 * 2000)) --count 2000 \
            --pixels "$1/fresh$2" --ids "$1/t$2.ids" --json "$1/t$2.jsonl" && mv "$1/fresh$2" "$1/t$2.rgb"; }' "$render" "$W/data" {}
}

# It goes on from the one that is there: edges are edges in any world.
vae() {
    $PYTHON vae.py --data "$W/data" --out "$W/vae.pt" --minutes "$VAE_MINUTES" --batch 2 --processes "$CORES" \
        --muon-lr 0.015 --start $dit/vae
}

texts() {
    $PYTHON tokenizer.py --out "$W/tok"
    $PYTHON clip_tokenizer.py --out "$W/clip-tok"
    $PYTHON text.py --tokenizer "$W/tok" --out "$W/text.pt"
    $PYTHON clip_text.py --tokenizer "$W/clip-tok" --out "$W/clip-text.pt"
}

judge() {
    $PYTHON judge.py --data "$W/data" --out ../../assets/judge/scenes-judge.safetensors --steps 6000
    $PYTHON prompts.py --out ../../assets/prompts/scenes-heldout
    $PYTHON prompts.py --out ../../assets/prompts/scenes-calibration --split train --count 128
}

parts() {
    $PYTHON export.py --out $dit --tokenizer "$W/tok" --text "$W/text.pt" --vae "$W/vae.pt"
}

# The trainers take shards as they come.
shards() {
    seq 0 $((CORES - 1)) | xargs -P "$CORES" -I{} $PYTHON batches.py --vae $dit/vae --out "$W/shards" \
        --first {} --step "$CORES" --count "$SHARDS"
}

critic() {
    $PYTHON critic.py --data "$W/shards" --out "$W/critic.safetensors" --steps 5000 --batch 64
}

# First from pictures alone; then, at a smaller rate that falls, with the critic beside them.
unet() {
    local all=(--data "$W/shards" --tokenizer "$W/clip-tok" --text "$W/clip-text.pt" --out "$W/unet.pt" \
        --processes "$CORES")
    $PYTHON unet.py "${all[@]}" --minutes $((DENOISER_MINUTES * 7 / 10)) --decay-share 0.01
    $PYTHON unet.py "${all[@]}" --minutes "$DENOISER_MINUTES" --decay-share 0.3 --muon-lr 0.007 --adam-lr 5e-4 \
        --critic "$W/critic.safetensors" --reward 0.15 --batch 48 --drawn 16
    $PYTHON export_unet.py --out $unet --tokenizer "$W/clip-tok" --text "$W/clip-text.pt" \
        --unet "$W/unet.pt" --vae $dit/vae --cfg 1.5
}

dit() {
    $PYTHON dit.py --data "$W/shards" --model $dit --fresh --out "$W/dit.pt" \
        --minutes "$DENOISER_MINUTES" --processes "$CORES" --weight-decay 0.1
    $PYTHON export.py --out $dit --dit "$W/dit.pt" --cfg 2
}

for stage in "${@:-pictures vae texts judge parts shards critic unet dit}"; do
    for name in $stage; do
        [ -e "$W/$name.done" ] && continue
        echo "== $name"
        $name
        touch "$W/$name.done"
    done
done
