"""Los ejercicios: lo correcto pasa siempre, cada error se llama por su nombre y nada de un estudiante rompe nada."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import convlab.gradcam
from convlab.errors import ConvlabError
from convlab.exercises import Exercise, Report, grade, list_exercises, load, sandbox
from convlab.exercises.nets import random_net

IDS = list_exercises()
CONTRACT = {
    "activations": ["receptive_field", "capture_activations", "dead_units", "top_patches"],
    "filters": ["conv_output_size", "cross_correlate2d", "normalize_filters", "orientation_tuning"],
    "maximization": ["total_variation", "ascent_step", "image_spectrum", "fft_image", "maximize"],
    "retrieval": ["embed", "cosine_similarity", "top_k", "average_precision", "mean_average_precision"],
    "embedding": [
        "squared_distances",
        "conditional_probabilities",
        "joint_probabilities",
        "student_affinities",
        "kl_gradient",
        "tsne",
    ],
    "occlusion": ["occlude", "occlusion_map", "deletion_curve", "faithfulness_auc", "mask_overlap"],
    "saliency": ["saliency_map", "smoothgrad", "integrated_gradients", "pointing_game", "randomize_layers"],
    "deconvnet": ["relu_backward", "unpool", "conv_adjoint", "deconvnet", "class_sensitivity"],
    "gradcam": ["channel_weights", "grad_cam", "cam", "overlay", "iou_at_threshold"],
    "adversarial": ["fgsm", "project_linf", "pgd", "attack_success_rate", "targeted_pgd", "minimal_epsilon"],
    "human": ["accuracy_by_condition", "shape_bias", "error_consistency", "bootstrap_interval", "map_to_coarse"],
}
WEIGHTS = load("gradcam.channel_weights")
GRAD_CAM = load("gradcam.grad_cam")
SEEDS = [(seed, False) for seed in range(20)] + [(seed, True) for seed in range(4)]


def check_with(exercise: Exercise, cases: list[Any], function: Any) -> Report:
    return exercise.report(cases, [exercise.run(function, case) for case in cases])


def said(report: Report) -> str:
    """El mensaje en una sola línea, como se lee."""
    return " ".join(report.message.split())


def right_weights(gradients: torch.Tensor) -> torch.Tensor:
    return gradients.mean((2, 3))


# --- el catálogo -----------------------------------------------------------------------------------------------------


def test_every_function_of_the_contract_is_an_exercise() -> None:
    assert list(CONTRACT) == list(dict.fromkeys(name.split(".")[0] for name in IDS))
    assert set(IDS) == {f"{lesson}.{function}" for lesson, functions in CONTRACT.items() for function in functions}


def test_a_typo_offers_the_nearest_exercise() -> None:
    with pytest.raises(ConvlabError, match=r"gradcam\.grad_cam"):
        load("gradcam.gradcam")


def test_grad_cam_knows_every_mistake_the_course_promises() -> None:
    promised = {
        "no_relu",
        "mean_over_channels",
        "relu_on_weights",
        "absolute_value",
        "gradient_times_activation",
        "softmax_gradient",
        "loss_gradient",
        "batch_normalized",
        "nearest",
    }
    assert promised <= set(GRAD_CAM.misconceptions)


def test_cam_of_a_pooled_network_is_its_grad_cam() -> None:
    """La identidad que enuncia el ejercicio 3, con los mapas de un caso de Grad-CAM."""
    case = next(c for c in GRAD_CAM.cases(0) if c.property_name == "Una clase por imagen")
    model, x, target, layer = case.build()
    features = convlab.hooks.capture(model, x, [layer])[layer]
    heat = load("gradcam.cam").variants["matrix_product"](features, model.fc.weight.detach(), target).relu()
    big = F.interpolate(heat[:, None] / heat[0].numel(), size=x.shape[2:], mode="bilinear")[:, 0]
    np.testing.assert_allclose(GRAD_CAM.variants["module_replaced"](model, x, target, layer), big, atol=1e-12)


# --- los casos -------------------------------------------------------------------------------------------------------


def test_grad_cam_cases_cover_what_forgives_nothing() -> None:
    """No cuadradas, lotes de 1 a 3, una clase que no gana, varias capas, dropout, in-place y cabeza con capa oculta."""
    cases = [c for seed in range(3) for c in GRAD_CAM.cases(seed)]
    built = [c.build() for c in cases]
    assert {len(x) for _, x, *_ in built} == {1, 2, 3}
    assert all(x.shape[2] != x.shape[3] for _, x, *_ in built)
    assert {c.arguments["layer"] for c in cases} == {"relu2", "bn1", "conv2"}
    assert {str(x.dtype) for _, x, *_ in built} == {"torch.float64", "torch.float32"}
    assert {type(t) for _, _, t, _ in built} == {int, torch.Tensor}
    kinds = {type(m).__name__ for model, *_ in built for m in model.modules()}
    assert {"Dropout", "BatchNorm2d", "MaxPool2d"} <= kinds
    assert any(getattr(m, "inplace", False) for model, *_ in built for m in model.modules())
    assert any(hasattr(model, "fc2") for model, *_ in built)
    assert any(not x.is_contiguous() for _, x, *_ in built)
    assert any(not next(model.parameters()).requires_grad for model, *_ in built)
    for case, (model, x, target, _) in zip(cases, built, strict=True):
        if case.property_name == "Solo lo que empuja a favor":
            assert not bool((model(x).argmax(1) == target).any())


def test_specs_refuse_unknown_layers_and_never_move_the_global_generator() -> None:
    with pytest.raises(ConvlabError, match="Conv2d"):
        random_net([("a", "Conv2D", {})], np.random.default_rng(0))
    before = torch.get_rng_state()
    GRAD_CAM.cases(1)[0].build()
    assert torch.equal(before, torch.get_rng_state())


# --- lo que un estudiante puede hacer --------------------------------------------------------------------------------


def boom(_gradients: Any) -> None:
    raise ValueError("ups")


def leaves(_gradients: Any) -> None:
    sys.exit(3)


def recursive(gradients: Any) -> Any:
    return recursive(gradients)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def unprintable(_gradients: Any) -> None:
    raise UnprintableError


def unwritten(_gradients: Any) -> None:
    raise NotImplementedError("Escribe aquí channel_weights.")


ACCIDENTS: dict[str, tuple[Any, str]] = {
    "no devuelve nada": (lambda g: None, "¿falta el `return`?"),
    "NaN": (lambda g: g.mean((2, 3)) * torch.nan, "NaN"),
    "infinito": (lambda g: g.mean((2, 3)) / 0, "infinitos"),
    "lista": (lambda g: g.mean((2, 3)).tolist(), "una lista de 1 elemento"),
    "lista de tensores": (lambda g: list(g.mean((2, 3))), "una lista de 1 elemento"),
    "número": (lambda g: 3.0, "devolviste un número"),
    "tensor sin dimensiones": (lambda g: g.mean(), "devolviste ()"),
    "matriz de NumPy": (lambda g: g.mean((2, 3)).numpy(), "un valor de tipo ndarray"),
    "texto": (lambda g: "hola", "devolviste un texto"),
    "generador": (lambda g: (x for x in g), "un valor de tipo generator"),
    "complejo": (lambda g: g.mean((2, 3)).to(torch.complex64), "complex64"),
    "disperso": (lambda g: g.mean((2, 3)).to_sparse(), "sparse"),
    "meta": (lambda g: g.mean((2, 3)).to("meta"), "meta"),
    "forma traspuesta": (lambda g: g.mean((2, 3)).T, "Se esperaba la forma"),
    "ejes de más": (lambda g: g.mean((2, 3), keepdim=True), "Se esperaba la forma"),
    "excepción": (boom, "Lanzó ValueError: ups"),
    "excepción sin texto": (unprintable, "Lanzó UnprintableError"),
    "cierra el programa": (leaves, "Intentó cerrar el programa"),
    "recursión": (recursive, "RecursionError"),
    "sin escribir": (unwritten, "Todavía falta código. Escribe aquí channel_weights."),
    "otros argumentos": (lambda: None, "debe aceptar, en este orden: gradients"),
    "no es una función": (3, "no es una función: es un valor de tipo int"),
    "no existe": (None, "No hay ninguna función «channel_weights»"),
    "ceros": (lambda g: torch.zeros_like(g[:, :, 0, 0]), "devolviste 0 y se esperaba"),
    "vacío": (lambda g: g[:0, :, 0, 0], "Se esperaba la forma"),
}


@pytest.mark.parametrize("name", ACCIDENTS)
@pytest.mark.parametrize("hidden", [False, True], ids=["visible", "oculta"])
def test_accidents_are_a_spanish_message_and_zero(name: str, hidden: bool, capfd: pytest.CaptureFixture[str]) -> None:
    function, expected = ACCIDENTS[name]
    report = WEIGHTS.check(function, hidden=hidden)
    assert report.score == 0
    assert not report.passed
    assert report.diagnosis is None
    assert expected in said(report)
    assert "0 de 1 puntos" in said(report)
    assert capfd.readouterr() == ("", "")


def test_one_failing_case_costs_only_its_own_points() -> None:
    def only_one_image(gradients: torch.Tensor) -> torch.Tensor:
        if len(gradients) == 3:
            raise ValueError("ups")
        return gradients.mean((2, 3))

    report = WEIGHTS.check(only_one_image)
    assert [p.passed for p in report.properties] == [True, False, True, True, True, True]
    assert report.score == round(1 - report.properties[1].max_points, 2)
    assert report.properties[1].message.startswith("Lanzó ValueError: ups (línea ")


def test_wrong_dtype_costs_only_its_own_points() -> None:
    report = WEIGHTS.check(lambda g: g.mean((2, 3)).float())
    assert [p.name for p in report.properties if not p.passed] == ["Mismo tipo y dispositivo que la entrada"]
    assert "Se esperaba el tipo float64, como la entrada, y devolviste float32" in said(report)


@pytest.mark.parametrize(
    "function",
    [
        partial(lambda dims, g: g.mean(dims), (2, 3)),
        lambda g, keep=False: g.mean((2, 3), keepdim=keep),
        lambda *everything: everything[0].mean((2, 3)),
        type("Callable", (), {"__call__": lambda self, g: g.mean((2, 3))})(),
        lambda g: g.clone().requires_grad_().mean((2, 3)),
        lambda g: g.mean((2, 3)).T.contiguous().T,
        lambda g: torch.nn.Parameter(g.mean((2, 3))),
    ],
    ids=["partial", "con más parámetros", "asterisco", "objeto", "con grafo", "no contiguo", "Parameter"],
)
def test_unusual_but_right_answers_pass(function: Any) -> None:
    assert WEIGHTS.check(function).passed


def test_numbers_and_a_way_to_reproduce_are_in_the_message() -> None:
    report = GRAD_CAM.check(lambda model, x, target, layer: torch.rand(len(x), *x.shape[2:], dtype=x.dtype) + 5)
    assert "devolviste 5." in said(report)
    assert "x = float64 (1, 3, 12, 16)" in said(report)
    assert "layer = relu2" in said(report)
    assert 'load("gradcam.grad_cam").cases(0)[0].build()' in said(report)
    assert "build()" not in GRAD_CAM.check(boom, hidden=True).message


def test_textbook_answer_keeps_most_points_and_is_diagnosed() -> None:
    """Lo que escribe quien sigue un tutorial: falla con redes congeladas y con ReLU in-place, y en nada más."""

    def textbook(model: Any, x: Any, target: Any, layer: str) -> Any:
        kept = {}
        hook = model.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.update(a=o))
        logits = model(x)
        hook.remove()
        (g,) = torch.autograd.grad(logits[torch.arange(len(x)), target].sum(), kept["a"])
        heat = (g.mean((2, 3), keepdim=True) * kept["a"]).sum(1, keepdim=True).relu()
        return F.interpolate(heat, size=x.shape[2:], mode="bilinear")[:, 0]

    report = GRAD_CAM.check(textbook)
    assert [p.name for p in report.properties if not p.passed] == [
        "Redes con los parámetros congelados",
        "Una ReLU que escribe encima de la capa",
    ]
    assert report.diagnosis == "overwritten_activation"
    assert "does not require grad" in said(report)


# --- ruido, tiempo y azar --------------------------------------------------------------------------------------------


def test_noise_is_captured_cut_and_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy(gradients: torch.Tensor) -> torch.Tensor:
        warnings.warn("cuidado", stacklevel=1)
        print("error", file=sys.stderr)
        print("x" * 10_000_000)
        return gradients.mean((2, 3))

    report = WEIGHTS.check(noisy)
    assert report.passed
    assert "Tu función imprimió: error" in said(report)
    assert len(report.message) < 1000
    assert capfd.readouterr() == ("", "")


def endless(_gradients: Any) -> None:
    while True:
        pass


def stubborn(_gradients: Any) -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def very_stubborn(_gradients: Any) -> None:
    while True:
        try:  # noqa: SIM105
            sum(range(100))
        except:  # noqa: E722
            pass


@pytest.mark.parametrize("function", [endless, stubborn, very_stubborn])
def test_endless_loops_stop_once_and_score_zero(function: Any) -> None:
    start, tracer = time.monotonic(), sys.gettrace()
    report = WEIGHTS.check(function, time_limit=0.3)
    assert time.monotonic() - start < 5  # el límite se gasta una vez, no una por caso
    assert report.score == 0
    assert "Tardó más de 0.3 s" in said(report)
    assert sys.gettrace() is tracer


def test_a_machine_too_busy_to_compute_is_given_more_time() -> None:
    """Esperar no gasta procesador: a quien tarda por eso se le espera hasta cuatro veces, y no más."""

    def slow(gradients: torch.Tensor) -> torch.Tensor:
        time.sleep(0.6)
        return gradients.mean((2, 3))

    assert WEIGHTS.check(slow, time_limit=0.3).passed
    assert not WEIGHTS.check(slow, time_limit=0.1).passed


def test_endless_loop_in_one_case_costs_that_property() -> None:
    def sometimes(gradients: torch.Tensor) -> torch.Tensor:
        if gradients.dtype == torch.float32:
            endless(gradients)
        return gradients.mean((2, 3))

    report = WEIGHTS.check(sometimes, time_limit=0.3)
    assert [p.passed for p in report.properties] == [True, True, True, False, True, True]


def test_time_limit_works_outside_the_main_thread() -> None:
    reports: list[Report] = []

    def work() -> None:
        reports.extend(WEIGHTS.check(f, time_limit=0.3) for f in (endless, right_weights, boom))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(30)
    assert not worker.is_alive()
    assert [r.score for r in reports] == [0, 1, 0]
    assert "Tardó más" in reports[0].message
    assert "ups" in reports[2].message


def test_outer_alarm_and_handler_survive() -> None:
    fired = []
    handler = signal.signal(signal.SIGALRM, lambda *_: fired.append(True))
    before = signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        assert WEIGHTS.check(right_weights).passed
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 0.5
        time.sleep(left + 0.1)
        assert fired == [True]
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_keyboard_interrupt_reaches_the_person() -> None:
    def interrupted(_gradients: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WEIGHTS.check(interrupted)


def test_checking_moves_nothing_global() -> None:
    def careless(gradients: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
        return gradients.mean((2, 3))

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    report = WEIGHTS.check(careless)
    assert [p.name for p in report.properties if not p.passed] == ["No deja huellas"]
    for text in ("estado global del azar", "ajuste global de PyTorch", "ganchos"):
        assert text in said(report)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert not torch.nn.modules.module._global_forward_hooks


# --- huellas ---------------------------------------------------------------------------------------------------------


def changes_input(model: Any, x: torch.Tensor) -> None:
    x[0, 0, 0, 0] += 1


def fills_input_grad(model: Any, x: torch.Tensor) -> None:
    x.requires_grad_()
    x.sum().backward()
    x.requires_grad_(False)


def asks_input_grad(model: Any, x: torch.Tensor) -> None:
    x.requires_grad_()


def leaves_hook(model: Any, x: torch.Tensor) -> None:
    model.relu2.register_forward_hook(lambda *_: None)


def changes_forward(model: Any, x: torch.Tensor) -> None:
    model.relu2.forward = lambda v: v


def adds_module(model: Any, x: torch.Tensor) -> None:
    model.append(torch.nn.Identity())


def leaves_train(model: Any, x: torch.Tensor) -> None:
    model.drop.train()


def freezes(model: Any, x: torch.Tensor) -> None:
    for p in model.parameters():
        p.requires_grad_(not p.requires_grad)


def fills_grad(model: Any, x: torch.Tensor) -> None:
    for p in model.parameters():
        p.grad = torch.zeros_like(p)


def moves_buffers(model: Any, x: torch.Tensor) -> None:
    model.train()
    model(x.repeat(2, 1, 1, 1))
    model.eval()


def uses_chance(model: Any, x: torch.Tensor) -> None:
    torch.rand(1)


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (changes_input, "La entrada ha cambiado"),
        (fills_input_grad, "`.grad` en la entrada"),
        (asks_input_grad, "La entrada ha quedado con otro `requires_grad`"),
        (leaves_hook, "Han quedado ganchos puestos"),
        (changes_forward, "`forward` cambiado"),
        (adds_module, "módulos añadidos"),
        (leaves_train, "en otro modo"),
        (freezes, "Algún parámetro ha quedado con otro `requires_grad`"),
        (fills_grad, "gradientes en los parámetros"),
        (moves_buffers, "estadísticas del modelo han cambiado"),
        (uses_chance, "estado global del azar"),
    ],
)
def test_each_trace_costs_only_its_property(trace: Any, words: str) -> None:
    right = GRAD_CAM.variants["module_replaced"]

    def careless(model: Any, x: torch.Tensor, target: Any, layer: str) -> torch.Tensor:
        heat = right(model, x, target, layer)
        trace(model, x)
        return heat

    report = GRAD_CAM.check(careless)
    assert [p.name for p in report.properties if not p.passed] == ["No deja huellas"], report.message
    assert words in said(report)


def test_traces_are_not_judged_where_the_value_is_wrong() -> None:
    report = WEIGHTS.check(lambda g: g.zero_().sum((2, 3)))
    assert "La entrada ha cambiado" not in said(report)


# --- la función que se pide no se puede llamar -----------------------------------------------------------------------


def test_the_asked_function_is_blocked_through_any_alias() -> None:
    from convlab.gradcam import channel_weights as alias

    def tricky(gradients: torch.Tensor) -> torch.Tensor:
        try:
            return alias(gradients)
        except:  # noqa: E722
            return gradients.mean((2, 3))

    for function in (alias, lambda g: convlab.gradcam.channel_weights(g), tricky):
        report = WEIGHTS.check(function)
        assert report.score == 0
        assert "Llamaste a `channel_weights` de convlab" in said(report)
    assert torch.equal(alias(torch.ones(1, 2, 3, 4)), torch.ones(1, 2))  # fuera de la comprobación funciona


def test_re_exported_function_is_blocked_too() -> None:
    from convlab.metrics import iou_at_threshold

    assert "Llamaste a `iou_at_threshold`" in load("gradcam.iou_at_threshold").check(iou_at_threshold).message


def test_other_functions_of_convlab_are_allowed() -> None:
    def composed(model: Any, x: torch.Tensor, target: Any, layer: str) -> torch.Tensor:
        from convlab.hooks import activation_and_gradient
        from convlab.targets import target_score

        a, g = activation_and_gradient(model, x, layer, target_score(target))
        heat = (convlab.gradcam.channel_weights(g)[:, :, None, None] * a).sum(1, keepdim=True).relu()
        return F.interpolate(heat, size=x.shape[2:], mode="bilinear")[:, 0]

    assert GRAD_CAM.check(composed).passed


def test_the_block_is_lifted_even_after_a_timeout() -> None:
    WEIGHTS.check(endless, time_limit=0.2)
    assert convlab.gradcam.channel_weights(torch.ones(1, 2, 3, 4)).shape == (1, 2)
    assert sandbox._refused == []


# --- lo que ve el cuaderno -------------------------------------------------------------------------------------------


def test_grade_prints_and_returns_what_nbgrader_reads(capsys: pytest.CaptureFixture[str]) -> None:
    for hidden in (False, True):
        score = grade("gradcam.channel_weights", {"channel_weights": right_weights}, hidden=hidden)
        assert type(score) is float
        assert score == 1
        assert repr(score) == "1.0"
    assert grade("gradcam.channel_weights", {}) == 0
    said = capsys.readouterr()
    assert said.out.count("Correcto: channel_weights") == 2
    assert "Ejecuta antes la celda" in said.out
    assert said.err == ""


def test_diagnosis_is_the_first_line() -> None:
    report = GRAD_CAM.check(GRAD_CAM.misconceptions["no_relu"].function)
    first = report.message.split("\n")[0]
    assert first.startswith("Diagnóstico: Falta la ReLU. Tu mapa tiene valores negativos")
    assert 0 < report.score < report.max_score


def test_two_mistakes_at_once_are_not_given_a_wrong_name() -> None:
    wrong = GRAD_CAM.misconceptions
    report = GRAD_CAM.check(lambda *a: wrong["no_relu"].function(*a) * 2 + wrong["nearest"].function(*a))
    assert report.diagnosis is None
    assert report.score == 0


def test_mistakes_run_on_the_course_network() -> None:
    """El capítulo los dibuja con `mini`: se ejecutan todos, y casi todos se ven con la pregunta más corriente."""
    from convlab.data.formas import formas
    from convlab.models import load_model

    mini, x = load_model("mini"), formas(1, seed=4).tensor()
    target = int(mini(x).argmax(1))
    right = convlab.gradcam.grad_cam(mini, x, target, "block4")
    unseen = set()
    for m in GRAD_CAM.misconceptions.values():
        found = m.function(mini, x, target, "block4").detach()
        assert found.shape == right.shape
        if torch.allclose(found, right, atol=1e-6):
            unseen.add(m.name)
    other_question = {"predicted_class", "first_class_for_all"}
    other_network = {"overwritten_activation", "needs_trainable_parameters"}
    assert unseen == other_question | other_network | {"hook_left", "backward"}
