"""El catálogo de la red que olvida: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, nn

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Names = Sequence[str]


@contextmanager
def _seeded(generator: Generator) -> Iterator[None]:
    """El azar global, puesto a una semilla que sale del generador y devuelto al acabar."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        yield


def _resettable(model: nn.Module, name: str) -> list[nn.Module]:
    return [m for m in model.get_submodule(name).modules() if hasattr(m, "reset_parameters")]


def _reset(model: nn.Module, names: Names) -> nn.Module:
    for name in names:
        for module in _resettable(model, name):
            module.reset_parameters()  # type: ignore[operator]
    return model


def _correct(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    with _seeded(generator):
        return _reset(copy.deepcopy(model), names)


@_wrong(
    "La red original también olvida",
    "Has cambiado la red que te dieron, y ya no hay con qué comparar. Haz primero una copia entera con "
    "`copy.deepcopy(model)`; `copy.copy` no basta, porque comparte las capas con la original.",
)
def _original_randomized(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    with _seeded(generator):
        return _reset(model, names)


@_wrong(
    "Solo se copian las capas pedidas",
    "La original no cambia, pero las capas que no tocas son las mismas en las dos redes: quien entrene una entrenará "
    "la otra. Copia la red entera con `copy.deepcopy(model)`.",
)
def _shared_layers(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    layers = [model.get_submodule(name) for name in names]
    chosen = {id(t) for layer in layers for t in [*layer.parameters(), *layer.buffers()]}
    memo = {id(t): t for t in [*model.parameters(), *model.buffers()] if id(t) not in chosen}
    with _seeded(generator):
        return _reset(copy.deepcopy(model, memo), names)


@_wrong(
    "Toda la red olvida",
    "Has reiniciado la red entera. Solo olvidan las capas de `names`, y lo que contengan: así se ve de cuál depende el "
    "mapa.",
)
def _everything(model: nn.Module, names: Names, generator: Generator) -> nn.Module:  # noqa: ARG001
    with _seeded(generator):
        return _reset(copy.deepcopy(model), [""])


@_wrong(
    "Solo la primera capa de la lista",
    "Has reiniciado la primera capa de `names` y las demás siguen igual. Mira si el `return` está dentro del bucle.",
)
def _only_first(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    return _correct(model, names[:1], generator)


@_wrong(
    "El contenido del bloque no se toca",
    "Si el nombre es el de un bloque, has mirado solo el bloque, que no tiene pesos propios, y no las capas que "
    "contiene. Recorre `layer.modules()`, que empieza por la propia capa y baja hasta el fondo.",
)
def _blocks_ignored(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    with _seeded(generator):
        broken = copy.deepcopy(model)
        for name in names:
            layer = broken.get_submodule(name)
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()  # type: ignore[operator]
    return broken


@_wrong(
    "Nombres que empiezan igual",
    "Has elegido las capas con `startswith(name)`, y `block10` empieza por `block1`. Usa `get_submodule(name)`, o "
    'compara con el punto incluido: `name + "."`.',
)
def _prefixes(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    with _seeded(generator):
        broken = copy.deepcopy(model)
        for inner, module in broken.named_modules():
            if any(inner.startswith(name) for name in names) and hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return broken


@_wrong(
    "Pesos a cero",
    "Has puesto los pesos a cero. Una capa así no es una red sin aprender: es una red rota, que no deja pasar nada. "
    "Vuelve a darles valores al azar con `reset_parameters()`.",
)
def _zeros(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for name in names:
        for module in broken.get_submodule(name).modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)
    return broken


@_wrong(
    "El sesgo no olvida",
    "Has reiniciado `weight`, pero `bias` sigue siendo el aprendido. Una capa olvida entera: `reset_parameters()` "
    "reinicia los dos.",
)
def _bias_kept(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for name in names:
        for inner, module in model.get_submodule(name).named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                layer = broken.get_submodule(name).get_submodule(inner)
                layer.load_state_dict({"bias": module.bias}, strict=False)
    return broken


@_wrong(
    "Normal de desviación 1",
    "Has llenado los pesos con `torch.randn` o `normal_()`: son mucho mayores que los de una capa recién creada, y la "
    "red no es comparable. `reset_parameters()` los da del tamaño debido, según cuántas entradas tenga la capa.",
)
def _standard_normal(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for name in names:
        for module in _resettable(broken, name):
            if not isinstance(module, nn.BatchNorm2d):
                for parameter in module.parameters():
                    parameter.data.normal_(generator=generator)
    return broken


@_wrong(
    "Ruido sobre lo aprendido",
    "Has sumado ruido a los pesos, y debajo sigue estando lo aprendido. Olvidar es sustituirlos por otros que no sepan "
    "nada de ellos: `reset_parameters()`.",
)
def _noise_added(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for name in names:
        for inner, module in model.get_submodule(name).named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                layer = broken.get_submodule(name).get_submodule(inner)
                old = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
                noise = torch.randn(old.shape, generator=generator, dtype=old.dtype)
                torch.nn.utils.vector_to_parameters(old + 0.3 * old.std() * noise, layer.parameters())
    return broken


@_wrong(
    "BatchNorm conserva sus estadísticas",
    "Has recorrido solo los parámetros. BatchNorm guarda además, como búferes, la media y la varianza que vio al "
    "entrenarse, y son memoria: `reset_parameters()` las devuelve a 0 y 1.",
)
def _statistics_kept(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    broken.load_state_dict({k: v for k, v in model.state_dict().items() if "running" in k}, strict=False)
    return broken


@_wrong(
    "BatchNorm no olvida",
    "Has reiniciado solo convoluciones y capas lineales. BatchNorm también aprende, y al pedirla por su nombre o "
    "dentro de un bloque debe volver a escala 1, sesgo 0, media 0 y varianza 1.",
)
def _norms_skipped(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for inner, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            broken.get_submodule(inner).load_state_dict(module.state_dict())
    return broken


@_wrong(
    "La misma semilla en cada capa",
    "Has puesto la semilla dentro del bucle, y dos capas del mismo tamaño reciben los mismos pesos. Ponla una sola "
    "vez, antes de empezar.",
)
def _seed_in_the_loop(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken, seed = copy.deepcopy(model), int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        for name in names:
            torch.manual_seed(seed)
            _reset(broken, [name])
    return broken


@_wrong(
    "El azar global queda movido",
    "La copia es correcta, pero `torch.manual_seed` ha cambiado el azar de quien te llama. Enciérralo en "
    "`with torch.random.fork_rng():`, que lo devuelve a como estaba.",
)
def _global_seed(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
    return _reset(copy.deepcopy(model), names)


@_wrong(
    "El generador sin usar",
    "Has llamado a `reset_parameters()` sin más, que toma el azar global: con la misma semilla sale otra red. Saca una "
    "semilla de `generator` y ponla con `torch.manual_seed` dentro de `torch.random.fork_rng()`.",
)
def _generator_ignored(model: nn.Module, names: Names, generator: Generator) -> nn.Module:  # noqa: ARG001
    return _reset(copy.deepcopy(model), names)


@_wrong(
    "Siempre la misma semilla",
    "Has puesto una semilla fija, así que la red olvida siempre igual. La semilla sale del `generator` que te dan: por "
    "ejemplo, `torch.randint(..., generator=generator)`.",
)
def _fixed_seed(model: nn.Module, names: Names, generator: Generator) -> nn.Module:  # noqa: ARG001
    return _correct(model, names, torch.Generator().manual_seed(0))


@_wrong(
    "La copia en modo entrenamiento",
    "Devuelves la copia en modo `train`, y así BatchNorm y dropout se portan de otra manera. Déjala como estaba la "
    "original.",
)
def _train_mode(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    return _correct(model, names, generator).train()


@_wrong(
    "Parámetros nuevos que piden gradiente",
    "Has sustituido los pesos por un `nn.Parameter` nuevo, que pide gradiente aunque los de la red estuvieran "
    "congelados. Cambia los valores en su sitio, como hace `reset_parameters()`, o conserva `requires_grad`.",
)
def _new_parameters(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    broken = _correct(model, names, generator)
    for name in names:
        for module in _resettable(broken, name):
            for key, parameter in [*module.named_parameters(recurse=False)]:
                setattr(module, key, nn.Parameter(parameter.detach().clone()))
    return broken
