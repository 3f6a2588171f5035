# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 11 · Personas y redes
#
# Nuria coordina a los voluntarios que clasifican las fotos de las cámaras de un parque natural. Le ofrecen una red que,
# según el folleto, «acierta tanto como una persona». Si es verdad, puede dejar a la red sola con las fotos nocturnas y
# mandar a los voluntarios a casa.
#
# Nuria desconfía del *tanto como*. Dos observadores pueden acertar lo mismo y fallar en fotos distintas, o acertar la
# misma foto por razones opuestas: uno por la silueta del animal y otro por su pelaje. Un porcentaje no distingue esas
# cosas. Se distinguen mirando **ensayo a ensayo**.
#
# En este cuaderno escribes las cuentas con las que se comparan personas y redes. Los observadores serán
# nuestras redes y un **observador sintético**: un programa que responde al azar con la exactitud que le pidamos y que
# no es una persona. Las cifras de personas que aparecen están publicadas, y se dice de dónde sale cada una.
#
# **Al terminar sabrás**
#
# - dar una exactitud con su margen, en vez de un porcentaje pelado;
# - medir si un observador se guía por la forma o por la textura;
# - medir si dos observadores fallan en lo mismo, descontado el azar;
# - poner un intervalo a cualquier medida, aunque no haya fórmula;
# - comparar a quien distingue mil clases con quien elige entre unas pocas.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `accuracy_by_condition` | 15 | 2 de 5 | 4 de 5 |
# | 2 | `shape_bias` | 10 | 2 de 5 | 5 de 5 |
# | 3 | `error_consistency` | 15 | 3 de 5 | 5 de 5 |
# | 4 | `bootstrap_interval` | 20 | 4 de 5 | 5 de 5 |
# | 5 | `map_to_coarse` | 10 | 2 de 5 | 3 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** Un **ensayo** es un `Trial`: una respuesta de un observador a un estímulo. Las proporciones
# van de 0 a 1, no de 0 a 100. Lo que llega no se modifica, y el azar sale solo del generador que se recibe. Cualquier
# manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es llamar a la función de
# `convlab` que hace lo que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
from collections import Counter
from dataclasses import replace
from math import sqrt
from statistics import NormalDist

import torch

from convlab.data.distortions import distort
from convlab.data.formas import SHAPES, formas
from convlab.data.photos import load_photo, to_tensor
from convlab.exercises import grade, show
from convlab.human import (
    Accuracy,
    consistency_bounds,
    cue_decisions,
    distortion_trials,
    group_by,
    human_figures,
    kappa,
    network_trials,
    paired_correct,
    synthetic_observer,
    wilson_interval,
)
from convlab.models import load_model
from convlab.plots import image_grid, interval_plot
from convlab.plots.human import accuracy_curves, consistency_plot

mini, texture_net, robust = (load_model(name) for name in ("mini", "mini-textura", "mini-robusta"))
scenes = formas(100, seed=12)
noisy = {
    name: distortion_trials(model, scenes, "noise", (0, 0.3, 0.4, 0.5), observer=name)
    for name, model in (("mini", mini), ("mini-robusta", robust))
}

# %% [markdown]
# ## Un ejemplo resuelto: leer ensayos
#
# `noisy` tiene las respuestas de dos redes a las mismas cien escenas con cuatro grados de ruido: la condición es el
# grado, escrito como texto. Cada ensayo es un `Trial`, con estos campos:
#
# - `observer`, `stimulus` y `condition`: quién responde, a qué imagen y cómo se le muestra;
# - `category`: la verdad. Si forma y textura dicen cosas distintas, es la de la **forma**;
# - `response`: lo que respondió, o `"sin respuesta"`;
# - `texture`: la categoría de la textura; vacía si el experimento no trata de texturas.
#
# `group_by` reparte una lista de ensayos según un campo. Con eso y un `Counter` ya se puede preguntar algo: ¿qué
# responde `mini` cuando no ve casi nada?


# %%
print(noisy["mini"][-1])
by_noise = group_by(noisy["mini"], "condition")
for level in ("0", "0.5"):
    answers = Counter(trial.response for trial in by_noise[level])
    print(f"ruido {level}:", ", ".join(f"{name} {times}" for name, times in answers.most_common(4)))

# %% [markdown]
# Sin ruido, las respuestas se reparten entre las diez formas, porque hay diez escenas de cada una. Con mucho
# ruido, dos se llevan tres de cada cuatro respuestas: la red se refugia en ellas. Ningún porcentaje de aciertos lo habría contado.

# %% [markdown]
# ## Ejercicio 1 · Exactitud por condición
#
# *15 minutos · dificultad 2 de 5*
#
# Ocho aciertos de diez y ochenta de cien son el mismo porcentaje y no la misma información. Por eso cada exactitud
# lleva su intervalo. El más conocido, `p ± 1,96 · √(p (1 − p) / n)`, falla donde más falta hace: si se aciertan los diez,
# mide cero. El de **Wilson** no.
#
# **Escribe** `accuracy_by_condition(trials, level=0.95)`.
#
# - `trials`: lista de `Trial`, con al menos uno. `level`: la confianza del intervalo, entre 0 y 1.
# - **Devuelve** un diccionario: condición → cinco números, `(n, correct, accuracy, low, high)`. Vale una tupla o un
#   `Accuracy(n, correct, accuracy, low, high)`, que ya tienes importado y es una tupla con nombres.
# - `n` son los ensayos de esa condición y `correct`, los aciertos; `accuracy` es su cociente.
# - Es un acierto si `response` es igual a `category`. **No contestar es fallar**, y seguir la textura también.
# - Los ensayos de una condición se cuentan juntos, sean de quien sean; un mismo estímulo puede aparecer varias veces.
# - `low` y `high` son los extremos de Wilson. Con `p = correct / n` y `z` el cuantil normal de `(1 + level) / 2`, que
#   da `NormalDist().inv_cdf(…)`:
#
# ```
# centro  = (p + z² / (2 n)) / (1 + z² / n)
# mitad   = z · √(p (1 − p) / n + z² / (4 n²)) / (1 + z² / n)
# extremos: centro − mitad y centro + mitad
# ```


# %% nbgrader={"grade": false, "grade_id": "accuracy-by-condition", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accuracy_by_condition(trials, level=0.95):
    """Condición → (ensayos, aciertos, exactitud, extremo inferior, extremo superior)."""
    ### BEGIN SOLUTION
    n, correct = Counter(), Counter()
    for trial in trials:
        n[trial.condition] += 1
        correct[trial.condition] += trial.response == trial.category
    z = NormalDist().inv_cdf((1 + level) / 2)
    rows = {}
    for condition, m in n.items():
        p, scale = correct[condition] / m, 1 + z**2 / m
        center = (p + z**2 / (2 * m)) / scale
        half = z * sqrt(p * (1 - p) / m + z**2 / (4 * m**2)) / scale
        rows[condition] = Accuracy(m, correct[condition], p, center - half, center + half)
    return rows
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí accuracy_by_condition: cuenta, divide y pon los extremos de Wilson.")


# %% [markdown]
# <details><summary>Pista 1: contar</summary>
#
# Dos `Counter`, uno de ensayos y otro de aciertos, con la condición por clave. Un `Counter` empieza en 0, y `True` suma
# 1. También puedes repartir antes con `group_by(trials, "condition")`.
# </details>
# <details><summary>Pista 2: ¿qué z?</summary>
#
# Con `level=0.95` sobra un 5 %, la mitad por cada lado: el cuantil es el de 0.975, y sale 1.96. En general, el de
# `(1 + level) / 2`.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Después de contar, un bucle: `for condition, m in n.items()`. Dentro, `p`, `scale = 1 + z**2 / m`, el centro y la mitad,
# los dos divididos por `scale`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "accuracy-by-condition-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("human.accuracy_by_condition", globals())

# %% nbgrader={"grade": true, "grade_id": "accuracy-by-condition-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("human.accuracy_by_condition", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La exactitud de dos redes según el ruido, contada por ti. `mini-robusta`, entrenada
# contra ataques adversarios, aguanta más, y no es casualidad: en cuanto hay ruido, los intervalos no se tocan. Debajo, lo que se
# ha publicado de personas y redes con ruido uniforme. **No se pueden poner en la misma gráfica**: son otras imágenes,
# otro ruido y otras categorías. Lo que se compara es cómo baja cada cual dentro de su experimento.


# %%
def draw_accuracy():
    curves = {
        name: {condition: Accuracy(*row) for condition, row in accuracy_by_condition(trials).items()}
        for name, trials in noisy.items()
    }
    for figure in human_figures("exactitud", condition="ruido"):
        if figure.subject in ("personas", "VGG-19"):
            print(f"{figure.condition} · {figure.subject}: {figure.value} ({figure.source}; {figure.how})")
    return accuracy_curves(curves, xlabel="ruido", chance=1 / len(SHAPES))


show(draw_accuracy, alt="Exactitud de mini y mini-robusta según el ruido: la de mini cae antes y más.")

# %% [markdown]
# ## Ejercicio 2 · ¿Forma o textura?
#
# *10 minutos · dificultad 2 de 5*
#
# Un gato con piel de elefante: ¿qué es? Si la forma y la textura se contradicen, la respuesta delata en qué se fija
# quien responde.
#
# **Escribe** `shape_bias(trials)`.
#
# - `trials`: lista de `Trial`. `category` es la categoría de la forma y `texture`, la de la textura.
# - Solo cuentan los ensayos **con conflicto**: `texture` no está vacía y es distinta de `category`. Si dicen lo mismo, la
#   respuesta no elige.
# - De ellos, solo cuentan las respuestas que **siguieron una de las dos**. Quien responde otra cosa, o nada, no entra en
#   el denominador.
# - **Devuelve** un `float` en [0, 1]: respuestas a la forma entre respuestas a la forma o a la textura. Todos los
#   ensayos se cuentan juntos, sin promediar por observador. Habrá siempre al menos una decisión.


# %% nbgrader={"grade": false, "grade_id": "shape-bias", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shape_bias(trials):
    """De las respuestas que siguieron la forma o la textura, la fracción que siguió la forma."""
    ### BEGIN SOLUTION
    conflict = [trial for trial in trials if trial.texture not in ("", trial.category)]
    shape = sum(trial.response == trial.category for trial in conflict)
    texture = sum(trial.response == trial.texture for trial in conflict)
    return shape / (shape + texture)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí shape_bias: filtra los ensayos en conflicto, cuenta y divide.")


# %% [markdown]
# <details><summary>Pista 1: primero, filtrar</summary>
#
# Haz una lista con los ensayos en conflicto. Son dos condiciones: que haya textura y que no sea la de la forma.
# </details>
# <details><summary>Pista 2: después, contar</summary>
#
# Cuenta por separado las respuestas iguales a `category` y las iguales a `texture`. Las demás no hacen falta para nada.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `trial.texture not in ("", trial.category)` filtra de una vez. Luego, `shape / (shape + texture)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "shape-bias-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("human.shape_bias", globals())

# %% nbgrader={"grade": true, "grade_id": "shape-bias-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("human.shape_bias", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El sesgo de dos redes que vieron **las mismas imágenes** y solo se diferencian en la
# pregunta con que se entrenaron: `mini` responde por la forma y `mini-textura`, por la textura. Junto a ellas, un
# observador sintético al que le pedimos un sesgo de 0,7, y tres cifras publicadas, sin intervalo. Las publicadas vienen
# de fotos estilizadas, no de Formas: sirven de referencia, no de competición.


# %%
def draw_bias():
    clash = formas(100, seed=11, variant="conflict")
    options = {"classes": SHAPES, "textures": clash.texture, "condition": "conflicto"}
    observers = {
        name: network_trials(model, clash.tensor(), clash.shape, observer=name, **options)
        for name, model in (("mini", mini), ("mini-textura", texture_net))
    }
    chance = torch.Generator().manual_seed(0)
    observers["observador sintético"] = synthetic_observer(
        observers["mini"], SHAPES, 0.9, shape_bias=0.7, generator=chance
    )
    names, values = [], []
    for name, trials in observers.items():
        shape, texture, other = cue_decisions(trials)
        print(f"{name}: {shape} forma, {texture} textura, {other} otra cosa; sesgo {shape_bias(trials):.3f}")
        names.append(name)
        values.append((shape_bias(trials), *wilson_interval(shape, shape + texture)))
    for figure in human_figures("sesgo de forma"):
        if figure.subject in ("personas", "ResNet-50 (torchvision)", "AlexNet (Caffe)"):
            print(f"publicado · {figure.subject}: {figure.value} ({figure.source}; {figure.how})")
            names.append(f"{figure.subject}, publicado")
            values.append((figure.value,) * 3)
    return interval_plot(names, {"sesgo de forma": values}, xlabel="0: textura · 1: forma")


show(draw_bias, alt="Sesgo de forma: mini en 1, mini-textura cerca de 0, el sintético hacia 0,7 y tres publicados.")

# %% [markdown]
# ## Ejercicio 3 · ¿Fallan en lo mismo?
#
# *15 minutos · dificultad 3 de 5*
#
# Dos observadores que aciertan el 90 % coinciden, acertando o fallando a la vez, en el 82 % de las imágenes aunque no
# tengan nada que ver: 0,9 · 0,9 + 0,1 · 0,1. La **consistencia de errores** pregunta cuánto coinciden *de más*.
#
# **Escribe** `error_consistency(correct_a, correct_b)`.
#
# - `correct_a` y `correct_b`: dos diccionarios, estímulo → acierto (`True` o `False`). Tienen las **mismas claves**, al
#   menos una, pero cada observador pudo ver las imágenes **en su propio orden**: empareja por la clave.
# - `c_obs` es la fracción de estímulos en que coinciden: los dos aciertan o los dos fallan.
# - `c_exp = a · b + (1 − a) · (1 − b)` es la que daría el azar, con `a` y `b` sus exactitudes.
# - **Devuelve** un `float`, la kappa: `(c_obs − c_exp) / (1 − c_exp)`. Puede ser negativa, y se queda negativa.
# - Si los dos aciertan todo, o los dos fallan todo, `c_exp` vale 1 y no hay errores que comparar: devuelve
#   `float("nan")`. Ni 0 ni 1, porque no se sabe.


# %% nbgrader={"grade": false, "grade_id": "error-consistency", "locked": false, "schema_version": 3, "solution": true, "task": false}
def error_consistency(correct_a, correct_b):
    """Kappa de los aciertos de dos observadores, emparejados por estímulo."""
    ### BEGIN SOLUTION
    m = len(correct_a)
    a, b = sum(correct_a.values()) / m, sum(correct_b.values()) / m
    observed = sum(correct_a[stimulus] == correct_b[stimulus] for stimulus in correct_a) / m
    expected = a * b + (1 - a) * (1 - b)
    if expected == 1:
        return float("nan")
    return (observed - expected) / (1 - expected)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí error_consistency: coincidencia, azar y kappa, emparejando por estímulo.")


# %% [markdown]
# <details><summary>Pista 1: emparejar</summary>
#
# Recorre las claves de uno y busca la misma en el otro: `correct_a[stimulus] == correct_b[stimulus]`. Con
# `zip(correct_a.values(), correct_b.values())` emparejarías el primero con el primero, que puede ser otra imagen.
# </details>
# <details><summary>Pista 2: las exactitudes</summary>
#
# `sum(correct_a.values()) / len(correct_a)`: `True` suma 1.
# </details>
# <details><summary>Pista 3: el caso sin errores</summary>
#
# Si `a` y `b` son 1 los dos, o 0 los dos, `c_exp` es exactamente 1 y la división no existe. Compruébalo antes de
# dividir.
# </details>

# %% nbgrader={"grade": true, "grade_id": "error-consistency-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("human.error_consistency", globals())

# %% nbgrader={"grade": true, "grade_id": "error-consistency-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("human.error_consistency", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La kappa de `mini` y `mini-robusta` con cada grado de ruido, al lado del **techo** que le
# ponen sus exactitudes: con exactitudes distintas, 1 es imposible. Sale 0,22 con ruido 0,4. Parece poco y es **todo lo
# que podía salir**: los nueve fallos de `mini-robusta` están entre los cuarenta y cinco de `mini`. Una kappa sin su techo
# engaña. Sin ruido sale `nan`, porque ninguna falla.
#
# Arriba, cuatro imágenes que fallan las dos; abajo, cuatro que solo falla `mini`. ¿Ves tú la diferencia?


# %%
def correct_at(name, level):
    return {t.stimulus: t.response == t.category for t in noisy[name] if t.condition == level}


def draw_errors():
    for level in ("0", "0.3", "0.4", "0.5"):
        a, b = correct_at("mini", level), correct_at("mini-robusta", level)
        top = consistency_bounds(sum(a.values()) / len(a), sum(b.values()) / len(b)).kappa_high
        fails = sum(not v for v in a.values()), sum(not v for v in b.values()), sum(not (a[s] or b[s]) for s in a)
        print(
            f"ruido {level:>3}: kappa {error_consistency(a, b):.3f}, techo {top:.3f} · "
            f"fallos de mini {fails[0]}, de mini-robusta {fails[1]}, comunes {fails[2]}"
        )
    for figure in human_figures("kappa", condition="bordes"):
        print(f"publicado · bordes · {figure.subject}: {figure.value} ({figure.source}; {figure.how})")
    a, b = correct_at("mini", "0.4"), correct_at("mini-robusta", "0.4")
    chosen = [s for s in a if not a[s] and not b[s]][:4] + [s for s in a if not a[s] and b[s]][:4]
    x = replace(scenes, images=distort(scenes.images, "noise", 0.4)).tensor()[[int(s) for s in chosen]]
    kinds = ["fallan las dos"] * 4 + ["solo falla mini"] * 4
    titles = [f"{SHAPES[scenes.shape[int(s)]]}\n{kind}" for s, kind in zip(chosen, kinds, strict=True)]
    return image_grid(x, titles, columns=4, size=1.6)


show(draw_errors, alt="Ocho escenas con mucho ruido: cuatro que fallan las dos redes y cuatro que solo falla mini.")

# %% [markdown]
# ## Ejercicio 4 · ¿Cuánto me puedo fiar?
#
# *20 minutos · dificultad 4 de 5*
#
# Una proporción tiene la fórmula de Wilson. ¿Y una mediana, o una kappa? El ***bootstrap*** sirve para todas: si no
# puedes repetir el experimento, repite el sorteo con los datos que tienes y mira cuánto cambia la medida.
#
# **Escribe** `bootstrap_interval(values, statistic, n=2000, level=0.95, generator=None)`.
#
# - `values`: tensor `(m,)`, un valor por ensayo, de coma flotante **o booleano** (aciertos). La media de booleanos no
#   existe en PyTorch: pásalos antes a coma flotante.
# - `statistic`: función que reduce la **última dimensión** de un tensor. Con `(m,)` da un número y con `(b, m)`, los
#   `b` números de `b` remuestreos: puedes llamarla una vez con todos o una vez con cada uno.
# - Haz `n` **remuestreos**: cada uno toma, **con reemplazo**, tantos valores como hay. Un valor puede salir varias veces,
#   o ninguna.
# - **Devuelve** dos `float`, `(low, high)`: los percentiles `(1 − level) / 2` y `(1 + level) / 2` de las `n`
#   estadísticas. Con 0.95, el 2,5 % y el 97,5 %. Cualquier manera de interpolar percentiles vale.
# - Todo el azar sale de `generator`: la misma semilla da el mismo intervalo. El orden de los sorteos es cosa tuya.


# %% nbgrader={"grade": false, "grade_id": "bootstrap-interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bootstrap_interval(values, statistic, n=2000, level=0.95, generator=None):
    """Intervalo bootstrap por percentiles: (inferior, superior)."""
    ### BEGIN SOLUTION
    if not values.is_floating_point():
        values = values.double()
    m = len(values)
    chosen = torch.randint(m, (n, m), generator=generator)  # una fila por remuestreo
    results = statistic(values[chosen])
    low, high = torch.quantile(results, (1 - level) / 2), torch.quantile(results, (1 + level) / 2)
    return low.item(), high.item()
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí bootstrap_interval: remuestrea con reemplazo, mide y toma dos percentiles.")


# %% [markdown]
# <details><summary>Pista 1: sortear con reemplazo</summary>
#
# `torch.randint(m, (m,), generator=generator)` da m posiciones de 0 a m − 1, que se pueden repetir. `torch.randperm` no
# las repite: remuestrearías los mismos valores en otro orden.
# </details>
# <details><summary>Pista 2: todos a la vez</summary>
#
# Si sorteas una tabla de posiciones `(n, m)`, `values[tabla]` es `(n, m)`: un remuestreo por fila. `statistic` los reduce
# de una vez.
# </details>
# <details><summary>Pista 3: los percentiles</summary>
#
# `torch.quantile(results, q)` pide q de 0 a 1. Con una confianza del 95 % sobra el 5 %, la mitad por cada lado.
# </details>

# %% nbgrader={"grade": true, "grade_id": "bootstrap-interval-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("human.bootstrap_interval", globals())

# %% nbgrader={"grade": true, "grade_id": "bootstrap-interval-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("human.bootstrap_interval", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un intervalo para algo que no tiene fórmula: la kappa. El truco es remuestrear los
# **números de las imágenes**, y así las dos respuestas a una imagen viajan juntas. (La `kappa` de `convlab` es la cuenta
# de tu ejercicio 3 para muchos remuestreos a la vez.) La barra gris son las kappas posibles. El observador sintético
# acierta lo mismo que `mini` pero falla al azar: su kappa verdadera es 0, y el intervalo lo admite. La otra pareja está
# en su techo o muy cerca; si el intervalo asoma de la barra, es porque al remuestrear cambian también las exactitudes.


# %%
def draw_intervals():
    levels = ("0.4", "0.5")
    accuracy = {condition: row[2] for condition, row in accuracy_by_condition(noisy["mini"]).items()}
    chance = torch.Generator().manual_seed(3)
    everyone = noisy | {"sintético": synthetic_observer(noisy["mini"], SHAPES, accuracy, generator=chance)}
    values, bounds = {}, {}
    for other in ("mini-robusta", "sintético"):
        for level in levels:
            pair = [[t for t in everyone[name] if t.condition == level] for name in ("mini", other)]
            hits = paired_correct(*pair)
            a, b = (torch.tensor(list(own.values())) for own in hits[:2])
            stimuli = torch.arange(len(a)).double()
            ends = bootstrap_interval(
                stimuli,
                lambda rows, a=a, b=b: kappa(a[rows.long()], b[rows.long()]),
                generator=torch.Generator().manual_seed(0),
            )
            name = f"mini y {other}, ruido {level}"
            values[name] = (error_consistency(*hits[:2]), *ends)
            bounds[name] = consistency_bounds(a.double().mean().item(), b.double().mean().item())
            print(f"{name}: kappa {values[name][0]:.3f}, del 95 %: [{ends[0]:.3f}, {ends[1]:.3f}]")
    return consistency_plot(values, bounds)


show(draw_intervals, alt="Kappa de mini con mini-robusta y con un observador sintético, con su intervalo y su rango.")

# %% [markdown]
# ## Ejercicio 5 · Pocos cajones para mil clases
#
# *10 minutos · dificultad 2 de 5*
#
# Una red de ImageNet distingue mil clases, 118 de ellas razas de perro. A una persona se le pide «perro, gato, ave o
# insecto». Para que respondan a lo mismo hay que llevar las mil probabilidades a unas pocas.
#
# **Escribe** `map_to_coarse(probabilities, mapping)`.
#
# - `probabilities`: tensor `(N, K)`, ya pasadas por *softmax*.
# - `mapping`: diccionario, nombre de la clase gruesa → lista de los índices de sus clases finas, al menos uno y sin
#   repetir. Una clase fina puede no estar en ninguna lista, o estar en dos.
# - **Devuelve** un tensor `(N, C)`, con las clases gruesas **en el orden del diccionario** y el tipo de lo que llega.
# - Cada valor es la **media** de las probabilidades de sus clases finas, no la suma. El resultado no suma 1 y **no se
#   renormaliza**.


# %% nbgrader={"grade": false, "grade_id": "map-to-coarse", "locked": false, "schema_version": 3, "solution": true, "task": false}
def map_to_coarse(probabilities, mapping):
    """Media de las probabilidades de las clases finas de cada gruesa: (N, K) → (N, C)."""
    ### BEGIN SOLUTION
    return torch.stack([probabilities[:, fine].mean(dim=1) for fine in mapping.values()], dim=1)
    ### END SOLUTION
    raise NotImplementedError(
        "Escribe aquí map_to_coarse: la media de las clases finas de cada gruesa, (N, K) → (N, C)."
    )


# %% [markdown]
# <details><summary>Pista 1: una clase gruesa</summary>
#
# `probabilities[:, [3, 7]]` son las columnas 3 y 7: un tensor `(N, 2)`. ¿Qué eje hay que promediar?
# </details>
# <details><summary>Pista 2: todas</summary>
#
# Un bucle por `mapping.values()` da una columna `(N,)` por clase gruesa, en el orden del diccionario.
# </details>
# <details><summary>Pista 3: juntarlas</summary>
#
# `torch.stack(columnas, dim=1)` las pone una al lado de otra: `(N, C)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "map-to-coarse-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("human.map_to_coarse", globals())

# %% nbgrader={"grade": true, "grade_id": "map-to-coarse-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("human.map_to_coarse", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Obligamos a una red de ImageNet a responder «perro, gato, ave o insecto» ante seis
# fotos, aunque solo en la primera haya uno de ellos. De las catorce fotos del curso en que no sale la gata, la suma
# responde «perro» en doce, y tu media, en cinco. La red no ve perros por todas partes: con la suma, «perro» juega con 118
# papeletas.


# %%
def draw_coarse():
    net = load_model("efficientnet_lite0")
    birds = [*range(7, 25), *range(80, 101), *range(127, 147)]
    mapping = {"perro": range(151, 269), "gato": range(281, 286), "ave": birds, "insecto": range(300, 327)}
    mapping = {name: list(fine) for name, fine in mapping.items()}
    x = torch.cat(
        [to_tensor(load_photo(n).image) for n in ("chelsea", "brick", "gravel", "retina", "rocket", "flower")]
    )
    with torch.no_grad():
        probabilities = net(x).softmax(dim=1)
    means = map_to_coarse(probabilities, mapping)
    sums = means * torch.tensor([len(fine) for fine in mapping.values()])
    names = list(mapping)
    titles = [f"media: {names[m]}\nsuma: {names[s]}" for m, s in zip(means.argmax(1), sums.argmax(1), strict=True)]
    return image_grid(x, titles, columns=3, size=1.8)


show(draw_coarse, alt="Seis fotos con lo que la red responde entre cuatro clases, por la media y por la suma.")

# %% [markdown]
# ## Para pensar
#
# Nuria ya tiene las herramientas. Supón que la red y sus voluntarios aciertan el mismo porcentaje en mil fotos. Responde
# en unas líneas: **¿qué *no* demuestra que una red y una persona acierten lo mismo?** ¿Qué medirías antes de mandar a
# nadie a casa?
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# No demuestra que acierten **las mismas** fotos: para eso está la consistencia de errores, mirada junto a su techo. Con
# dibujos de bordes se ha publicado una kappa de 0,318 entre personas y de 0,045 entre ResNet-50 y persona
# (`texture-vs-shape`, recalculado de los datos brutos). Tampoco demuestra que acierten **por lo mismo**: `mini` y
# `mini-textura` vieron las mismas imágenes y con señales en conflicto responden lo contrario. Ni que vayan a acertar lo
# mismo **en otras condiciones**: el porcentaje es de esas mil fotos, y de noche, con ruido o en otro parque puede bajar
# en una y no en la otra. Y con mil fotos hay un margen: sin intervalo, «lo mismo» no significa nada. Ni siquiera una
# kappa alta probaría que ven igual; fallar en las mismas fotos puede deberse a que esas fotos son difíciles para
# cualquiera. Antes de decidir, Nuria debería medir la exactitud por condición, con intervalos; la kappa; y qué pasa si
# se cambia la forma y no la textura.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | separa aciertos, errores y razones, dice cómo medir cada cosa (kappa con su techo, señales en conflicto, otras condiciones) y reconoce que ni una kappa alta prueba que vean igual |
# | bien | da dos límites ciertos (errores distintos, razones distintas, otras condiciones, margen) sin decir cómo se miden |
# | insuficiente | dice solo que «la red no entiende» o que «hacen falta más fotos», o toma el mismo porcentaje por la misma manera de ver |

# %% [markdown]
# **Para seguir.** El capítulo 11 del libro compara las redes del curso con las cifras publicadas de personas, y cuenta
# qué hay que cuidar para que la comparación sea justa: el tiempo de exposición, las categorías que se ofrecen y los
# estímulos que ve cada cual.
