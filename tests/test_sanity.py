"""La copia borrada cambia donde se pide; el original y el azar global, no."""

import pytest
import torch

from convlab.errors import ConvlabError
from convlab.models.mini import Mini
from convlab.sanity import randomize_layers


def test_only_the_named_layers_of_the_copy_change():
    torch.manual_seed(3)
    model = Mini().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p)
    model.block5.bn.running_mean.fill_(2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rng = torch.get_rng_state()
    broken = randomize_layers(model, ["fc", "block5"], torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    changed = {k.split(".")[0] for k, v in broken.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"fc", "block5"}
    assert not broken.training
    again = randomize_layers(model, ["fc", "block5"], torch.Generator().manual_seed(0))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in broken.state_dict().items())


def test_layers_without_parameters_or_unknown_are_explained():
    with pytest.raises(ConvlabError, match=r"block1.relu.*parámetros"):
        randomize_layers(Mini(), ["block1.relu"])
    with pytest.raises(ConvlabError, match="block5"):
        randomize_layers(Mini(), ["blok5"])
