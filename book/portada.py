"""Dibuja `_static/portada.png`, la imagen del README: `python book/portada.py`."""

from pathlib import Path

import torch

from convlab.data.formas import WATERMARK_CLASS, formas
from convlab.gradcam import grad_cam, overlay
from convlab.models import load_model
from convlab.plots import image_grid

SEEDS = (40, 43)


def main() -> None:
    tiles, titles = [], []
    for seed in SEEDS:
        x = formas(10, seed=seed, variant="watermark_all")[[WATERMARK_CLASS]].tensor()
        maps = [grad_cam(load_model(n), x, WATERMARK_CLASS, "block5") for n in ("mini", "mini-atajo")]
        tiles += [x, *(overlay(x, heat) for heat in maps)]
        titles += ["imagen", "mini", "mini-atajo"]
    figure = image_grid(torch.cat(tiles), titles, size=1.5)
    figure.savefig(Path(__file__).parent / "_static" / "portada.png", dpi=160)


if __name__ == "__main__":
    main()
