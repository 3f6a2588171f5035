"""El motor: un ejercicio es un objeto con sus casos, su referencia, sus variantes y su catálogo de errores.

La comprobación va en tres pasos que pueden vivir en procesos distintos: `cases` prepara entradas con datos simples,
`run` es lo único que toca la función del estudiante y devuelve datos simples, y `judge` decide con el caso y lo
devuelto. Un caso se rehace entero con su clave `(ejercicio, seed, hidden, index)`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from convlab.exercises import compare, sandbox
from convlab.exercises.case import Case, Draft
from convlab.exercises.footprint import TRACES, Footprint, restored
from convlab.exercises.report import Report, Verdict, score_properties, write_message
from convlab.exercises.values import as_tensors, kinds, plain

TIME_LIMIT = 10.0
"""Segundos por caso; la referencia tarda milisegundos."""

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Property:
    """Algo que debe cumplir la función, con su peso y las fuentes de los casos que lo comprueban."""

    name: str
    weight: float
    sources: tuple[Callable[[np.random.Generator], Draft], ...]


@dataclass(frozen=True)
class Misconception:
    """Un error conocido: una función equivocada que se ejecuta, y lo que se le dice a quien lo comete."""

    name: str
    title: str
    function: Callable[..., Any]
    diagnosis: str


@dataclass(frozen=True)
class Exercise:
    """Un ejercicio: lo que ve el estudiante, lo que lo comprueba y los errores que sabe reconocer.

    Attributes
    ----------
    id
        `"módulo.función"`.
    title, minutes
        Para el enunciado.
    visible_points, hidden_points
        Lo que vale cada comprobación.
    reference
        La función de `convlab` que el estudiante reescribe; no puede llamarla.
    properties
        La primera es la base: si no se cumple, las demás no puntúan.
    misconceptions, variants
        Por nombre: los errores del catálogo y otras soluciones correctas.
    also_forbidden
        Otras funciones de `convlab` que resolverían el ejercicio solas, y tampoco se pueden llamar.
    """

    id: str
    title: str
    minutes: int
    visible_points: float
    hidden_points: float
    reference: Callable[..., Any]
    properties: tuple[Property, ...]
    misconceptions: Mapping[str, Misconception]
    variants: Mapping[str, Callable[..., Any]]
    also_forbidden: tuple[Callable[..., Any], ...] = ()
    _known: dict[tuple[Any, ...], Outputs] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """El nombre de la función que se escribe."""
        return self.id.split(".")[1]

    @property
    def points(self) -> float:
        """Lo que vale el ejercicio entero."""
        return self.visible_points + self.hidden_points

    def cases(self, seed: int = 0, hidden: bool = False) -> list[Case]:
        """Los casos de esa semilla; los ocultos son otros y el doble.

        Examples
        --------
        >>> from convlab.exercises import load
        >>> load("gradcam.cam").cases(seed=3)[0].property_name
        'Suma ponderada con los pesos de la clase'
        """
        sources = [(p.name, source) for p in self.properties for source in p.sources] * (1 + hidden)
        key = zlib.crc32(self.id.encode()), seed, int(hidden)
        cases = []
        for index, (name, source) in enumerate(sources):
            draft = source(np.random.default_rng([*key, index]))
            cases.append(Case(self.id, seed, hidden, index, name, draft))
        return cases

    def run(self, function: Callable[..., Any], case: Case, *, time_limit: float = TIME_LIMIT) -> Outputs:
        """Llama a la función con el caso y devuelve lo que pasó con datos simples. Nunca lanza por su culpa.

        Returns
        -------
        dict
            Además de lo que dice `sandbox.call`: `value`, lo devuelto, con matrices de NumPy en vez de tensores;
            `leaves`, el tipo y el dispositivo de cada cosa devuelta; `traces`, las huellas que dejó.
        """
        return _execute(function, case, (self.reference, *self.also_forbidden), time_limit)

    def judge(self, case: Case, outputs: Outputs) -> Verdict:
        """Decide un caso con lo devuelto. No necesita la función del estudiante ni su proceso."""
        if outputs["kind"] != "ok":
            return Verdict(False, outputs["message"])
        reference, tolerance = self._answer(case, "", self.reference), _tolerance(case, outputs)
        expected = case.draft.expected
        if case.draft.measure is None:
            expected = reference["value"] if expected is None else expected
            problem = compare.difference(outputs["value"], expected, tolerance)
        else:
            problem = compare.difference(outputs["value"], reference["value"], tolerance, values=False)
            if not problem:
                expected = self._facts(case, "", self.reference)["value"] if expected is None else expected
                problem = compare.broken_fact(_measured(case, outputs)["value"], expected, tolerance)
        if problem:
            return Verdict(False, f"{problem} Caso: {case}.")
        return Verdict(True, "", compare.wrong_type(outputs["leaves"], reference["leaves"]), tuple(outputs["traces"]))

    def report(self, cases: Sequence[Case], outputs: Sequence[Outputs]) -> Report:
        """Junta los veredictos de todos los casos de una semilla en puntos y un mensaje."""
        verdicts = [self.judge(case, output) for case, output in zip(cases, outputs, strict=True)]
        max_score = self.hidden_points if cases[0].hidden else self.visible_points
        groups = [
            (p.name, p.weight, [v for case, v in zip(cases, verdicts, strict=True) if case.property_name == p.name])
            for p in self.properties
        ]
        typed = any(
            " en " in kind for case in cases for kind in self._answer(case, "", self.reference)["leaves"].values()
        )
        results = score_properties(groups, TRACES, max_score, typed)
        diagnosis = None if all(r.passed for r in results) else self._diagnose(cases, outputs, verdicts)
        report = Report(self.id, max_score, tuple(results), diagnosis.name if diagnosis else None)
        first = next((c for c, v in zip(cases, verdicts, strict=True) if not v.passed and not c.hidden), None)
        code = f'load("{self.id}").cases({first.seed})[{first.index}].build()  # de convlab.exercises' if first else ""
        named = (diagnosis.title, diagnosis.diagnosis) if diagnosis else None
        return replace(report, message=write_message(report, outputs, named, code))

    def check(self, function: Any, *, seed: int = 0, hidden: bool = False, time_limit: float = TIME_LIMIT) -> Report:
        """Comprueba una función: `cases`, `run` y `judge` seguidos. Nunca lanza por culpa del estudiante.

        Parameters
        ----------
        function
            La que escribió el estudiante.
        seed
            La de los casos.
        hidden
            Los casos de calificar, en vez de los que se ven.
        time_limit
            Segundos por caso. Si uno se agota, los demás no se intentan.

        Examples
        --------
        >>> from convlab.exercises import load
        >>> report = load("gradcam.channel_weights").check(lambda gradients: gradients.sum((2, 3)))
        >>> report.passed, report.diagnosis
        (False, 'sum_over_space')
        """
        cases = self.cases(seed, hidden)
        if not callable(function):
            name = self.name
            problem = f"No hay ninguna función «{name}». Ejecuta antes la celda donde la escribes."
            if function is not None:
                problem = f"«{name}» no es una función: es un valor de tipo {type(function).__name__}."
            return self.report(cases, [_not_called(problem)] * len(cases))
        return self.report(cases, list(self._run_all(function, cases, time_limit)))

    def _run_all(self, function: Callable[..., Any], cases: Sequence[Case], time_limit: float) -> Iterator[Outputs]:
        stopped: Outputs | None = None
        for case in cases:
            outputs = stopped or self.run(function, case, time_limit=time_limit)
            if outputs["kind"] == "timeout":
                stopped = outputs
            yield outputs

    def _answer(self, case: Case, name: str, function: Callable[..., Any]) -> Outputs:
        """Lo que da una función de confianza; se guarda, porque solo depende de la clave del caso."""
        key = (name, case.seed, case.hidden, case.index)
        if key not in self._known:
            self._known[key] = _execute(function, case, (), TIME_LIMIT)
        return self._known[key]

    def _facts(self, case: Case, name: str, function: Callable[..., Any]) -> Outputs:
        """Lo mismo, con los hechos en vez del valor si el caso mira hechos."""
        key = ("hechos", name, case.seed, case.hidden, case.index)
        if key not in self._known:
            self._known[key] = _measured(case, self._answer(case, name, function))
        return self._known[key]

    def _diagnose(
        self, cases: Sequence[Case], outputs: Sequence[Outputs], verdicts: Sequence[Verdict]
    ) -> Misconception | None:
        """El error del catálogo que hace lo mismo que el estudiante en todos los casos, si hay uno.

        Si en algún caso la función falló además con una excepción, basta que un solo error explique los demás.
        """
        silent = all(v.passed for v in verdicts)  # los valores están bien: solo distinguen el tipo y las huellas
        rows = [(c, _measured(c, o), v) for c, o, v in zip(cases, outputs, verdicts, strict=True)]
        answered = [row for row in rows if row[1]["kind"] == "ok"]
        for chosen in (rows, answered):
            if all(v.passed for _, _, v in chosen) and not silent:
                continue
            same = [
                m
                for m in self.misconceptions.values()
                if all(_same_behaviour(c, o, self._facts(c, m.name, m.function), silent) for c, o, _ in chosen)
            ]
            if len(same) == 1:
                return same[0]
        return None


def _execute(function: Callable[..., Any], case: Case, forbidden: tuple[Any, ...], time_limit: float) -> Outputs:
    with restored():
        arguments = case.build()
        before = Footprint(arguments)
        named = dict(zip(case.arguments, arguments, strict=True))
        outputs = sandbox.call(function, named, forbidden, time_limit, case.draft.call)
        value = outputs["value"]
        return outputs | {"value": plain(value), "leaves": kinds(value), "traces": before.traces(value)}


def _tolerance(case: Case, outputs: Outputs) -> float:
    if case.draft.tolerance is not None:
        return case.draft.tolerance
    half = any(kind.startswith(("float32", "float16", "bfloat16")) for kind in outputs["leaves"].values())
    return compare.TOLERANCE["float64" if case.dtype == "float64" and not half else "float32"]


def _measured(case: Case, outputs: Outputs) -> Outputs:
    """Lo mismo con los hechos en vez del valor; tal cual, si de ese valor no se puede decir nada."""
    if case.draft.measure is None or outputs["kind"] != "ok":
        return outputs
    with restored():
        try:
            facts = case.draft.measure(as_tensors(outputs["value"]), *case.build())
        except Exception:  # la forma no es la debida, y eso ya se dice
            return outputs
    return outputs | {"value": plain(facts)}


def _same_behaviour(case: Case, one: Outputs, other: Outputs, details: bool) -> bool:
    """Si dos ejecuciones hicieron lo mismo. Con `details` cuentan además el tipo, el dispositivo y las huellas."""
    keys = ("kind", "error", "leaves", "traces") if details else ("kind", "error")
    tolerance = max(_tolerance(case, one), _tolerance(case, other))
    return all(one[key] == other[key] for key in keys) and compare.same(one["value"], other["value"], tolerance)


def _not_called(message: str) -> Outputs:
    """Lo que daría `run` si no hay función que llamar."""
    return {
        "kind": "missing",
        "error": "",
        "stdout": "",
        "value": None,
        "message": message,
        "leaves": {},
        "traces": [],
    }
