"""`convlab.plots.adversarial`: lo dibujado es lo que dicen los rótulos, y los argumentos se comprueban."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from convlab.errors import ConvlabError
from convlab.plots.adversarial import accuracy_curves, attack_panel, patch_panel, transfer_plot

# En múltiplos de 1/64, para que las cuentas sean exactas.
X = torch.randint(8, 56, (2, 3, 6, 8), generator=torch.Generator().manual_seed(0)) / 64
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
CLASSES = ["círculo", "cuadrado"]


def shown(axis):
    return torch.from_numpy(np.array(axis.images[0].get_array())).permute(2, 0, 1)


def texts(figure):
    return [t.get_text() for axis in figure.axes for t in (axis.title, *axis.texts)]


def test_attack_panel_amplifies_what_it_says_with_zero_at_grey():
    delta = torch.zeros_like(X)
    delta[0, 0, 0, 0], delta[1, 1, 2, 3] = 1 / 64, -1 / 128
    figure = attack_panel(X, X + delta, LOGITS, LOGITS.flip(1), CLASSES)
    assert len(figure.axes) == 6
    torch.testing.assert_close(shown(figure.axes[0]), X[0])
    torch.testing.assert_close(shown(figure.axes[5]), (X + delta)[1])
    middle = shown(figure.axes[1])
    assert middle[0, 0, 0] == 1
    assert middle[1].unique().tolist() == [0.5]
    assert shown(figure.axes[4])[1, 2, 3] == 0.25
    written = " ".join(texts(figure))
    for text in ("círculo, 88 %", "cuadrado, 88 %", "cuadrado, 73 %", "perturbación × 32", "original", "atacada"):
        assert text in written
    fixed = attack_panel(X, X + delta, LOGITS, LOGITS, CLASSES, factor=10)
    torch.testing.assert_close(shown(fixed.axes[1]), 0.5 + 10 * delta[0], atol=1e-5, rtol=0)
    assert "× 10" in " ".join(texts(fixed))
    still = attack_panel(X, X, LOGITS, LOGITS, CLASSES)
    assert shown(still.axes[1]).unique().tolist() == [0.5]


def test_curves_are_in_the_units_of_the_label():
    attacked = {"mini": torch.tensor([1.0, 0.2]), "mini-robusta": torch.tensor([0.9, 0.7])}
    noise = {"mini-robusta": torch.tensor([0.9, 0.88]), "mini": torch.tensor([1.0, 0.98])}
    axis = accuracy_curves([0, 8 / 255], attacked, noise).axes[0]
    drawn = [(line.get_linestyle(), list(line.get_ydata())) for line in axis.lines]
    assert [style for style, _ in drawn] == ["-", "--", "-", "--"]
    assert drawn[1][1] == pytest.approx([1.0, 0.98])
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0, 8])
    assert "255" in axis.get_xlabel()
    euclidean = accuracy_curves([0, 2.0], attacked, noise, norm="l2").axes[0]
    assert list(euclidean.lines[0].get_xdata()) == [0, 2]
    assert "L2" in euclidean.get_xlabel()


def test_transfer_plot_writes_every_cell_in_its_place():
    matrix = torch.tensor([[1.0, 0.125], [math.nan, 0.5]])
    axis = transfer_plot(["a", "b"], matrix).axes[0]
    cells = {t.get_position(): t.get_text() for t in axis.texts}
    assert cells == {(0, 0): "1,00", (1, 0): "0,12", (0, 1): "—", (1, 1): "0,50"}
    assert [t.get_color() for t in axis.texts][:2] == ["black", "white"]
    assert axis.get_ylabel() == "red atacada"


def test_patch_panel_has_a_row_per_patch():
    examples = {"adversario": X, "ruido": 1 - X}
    patches = {"adversario": X[0, :, :3, :3], "ruido": X[1, :, :3, :3]}
    figure = patch_panel(patches, {"adversario": 0.914, "ruido": 0.02}, examples, target="corazón")
    assert len(figure.axes) == 6
    assert figure.axes[0].get_title() == "adversario: 91 %"
    assert figure.axes[3].get_title() == "ruido: 2 %"
    torch.testing.assert_close(shown(figure.axes[4]), 1 - X[0])
    assert "«corazón»" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attack_panel(X, X[:1], LOGITS, LOGITS, CLASSES), "dos lotes iguales"),
        (lambda: attack_panel(X, X, LOGITS, LOGITS[:1], CLASSES), "dos lotes iguales"),
        (lambda: attack_panel(X, X, LOGITS, LOGITS, ["una"]), "dos lotes iguales"),
        (lambda: attack_panel(X[:, :1], X[:, :1], LOGITS, LOGITS, CLASSES), r"\(N, 3, H, W\)"),
        (lambda: accuracy_curves([0, 1], {"a": torch.rand(2)}, {"b": torch.rand(2)}), "las mismas redes"),
        (lambda: accuracy_curves([0, 1], {}, {}), "ninguna"),
        (lambda: accuracy_curves([0], {"a": torch.rand(2)}, {"a": torch.rand(2)}), "La curva de «a»"),
        (lambda: accuracy_curves([0, 1], {"a": torch.rand(2)}, {"a": torch.rand(2)}, norm="L3"), "«L3»"),
        (lambda: transfer_plot(["a"], torch.rand(2, 2)), "matriz cuadrada"),
        (lambda: patch_panel({"a": X[0]}, {"b": 0.1}, {"a": X}, target="x"), "los mismos nombres"),
        (lambda: patch_panel({}, {}, {}, target="x"), "los mismos nombres"),
        (lambda: patch_panel({"a": X[0]}, {"a": 0.1}, {"a": X[0]}, target="x"), r"\(N, 3, H, W\)"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()
