# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 06 · Oclusión
#
# Amparo cataloga los azulejos de un museo: una estrella, un corazón, una luna, a veces tan gastados que hay que mirarlos
# dos veces. Una red la ayuda a decir qué figura lleva cada uno. Hoy ha acertado con un azulejo que a ella le costó un
# buen rato, y quiere saber **en qué se ha fijado**.
#
# El problema es que la red está en el ordenador de otra institución. Admite fotografías y devuelve respuestas, y nada
# más: ni pesos, ni capas, ni derivadas. Amparo hace entonces lo que haría con una fotografía de papel. Pone el dedo
# encima de un trozo y vuelve a preguntar. Si la respuesta cae, ese trozo importaba.
#
# Eso es la **oclusión**. En este cuaderno la escribes, la usas para preguntar a una red sin abrirla, y después haces algo
# que casi nadie hace: medir si el mapa merece confianza. Por el camino descubrirás que no da igual de qué color sea el
# dedo.
#
# **Al terminar sabrás**
#
# - hacer el mapa de lo que le importa a una red de la que solo puedes ver las respuestas;
# - repartir por píxeles lo que se ha medido por parches, sin inventar importancia en el centro ni olvidar los bordes;
# - medir si un mapa es fiel a la red, con una curva de borrado y su área;
# - medir si cae en el objeto, y por qué no es la misma pregunta.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `occlude` | 8 | 1 de 5 | 4 de 5 |
# | 2 | `occlusion_map` | 25 | 3 de 5 | 5 de 5 |
# | 3 | `deletion_curve` | 25 | 4 de 5 | 5 de 5 |
# | 4 | `faithfulness_auc` | 7 | 2 de 5 | 3 de 5 |
# | 5 | `mask_overlap` | 15 | 3 de 5 | 4 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una en
# una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu* función.
# Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo vale para un
# ejemplo no pasa.
#
# **Lo que vale para todos.** `model` es una red en modo `eval` que recibe imágenes `(N, 3, H, W)` en [0, 1] y devuelve
# logits `(N, K)`: N imágenes, K clases. `target` es la clase por la que se pregunta: un entero, la misma para todas las
# imágenes, **o** un `LongTensor` `(N,)` con una por imagen; no tiene por qué ser la que la red elegiría. `value` dice con
# qué se tapa: un **número** (0 es negro, 1 es blanco) **o** el texto `"mean"`, la media de cada canal de cada imagen
# intacta. Los resultados se quedan en el dispositivo y el tipo de lo que llega, y lo que llega no se modifica. Cualquier
# manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es llamar a la función de
# `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import torch

from convlab.data.formas import SHAPES, formas
from convlab.exercises import grade, show
from convlab.human import bootstrap_interval
from convlab.metrics import center_gaussian, edge_map, random_map
from convlab.models import load_model
from convlab.plots import colorize, image_grid, interval_plot
from convlab.plots.occlusion import fidelity_curves

mini = load_model("mini")  # la red a la que preguntas


def mean_and_interval(values):
    """La media de unos valores y su intervalo del 95 %, por remuestreo."""
    generator = torch.Generator().manual_seed(0)
    return float(values.mean()), *bootstrap_interval(values, lambda v: v.mean(-1), 1000, 0.95, generator)


# %% [markdown]
# ## Un ejemplo resuelto: preguntar antes y después
#
# Antes de mover un parche por la imagen, hagamos la pregunta una sola vez, con media imagen tapada. Hacen falta tres
# herramientas. `torch.where(condición, a, b)` toma `a` donde la condición se cumple y `b` donde no, y devuelve un tensor
# nuevo. `logits[torch.arange(N), target]` escoge de cada fila el logit de su clase. Y `torch.no_grad()` le dice a PyTorch
# que no hace falta preparar derivadas: aquí solo se pregunta.

# %%
scenes = formas(3, seed=7)
x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
right_half = torch.arange(64) >= 32  # (64,): vale para todas las filas, todos los canales y todas las imágenes

with torch.no_grad():
    before = mini(x)
    after = mini(torch.where(right_half, 0.0, x))

each = torch.arange(3)
print("figura       logit antes  después   probabilidad antes  después")
for n in range(3):
    values = before[n, target[n]], after[n, target[n]], before.softmax(1)[n, target[n]], after.softmax(1)[n, target[n]]
    print(f"{SHAPES[target[n]]:12} {values[0]:11.2f} {values[1]:8.2f} {values[2]:20.3f} {values[3]:8.3f}")
print("caída del logit:", [round(v, 2) for v in (before - after)[each, target].tolist()])

# %% [markdown]
# Fíjate en las dos medidas. La **probabilidad** está entre 0 y 1 y se lee bien, pero depende de todas las clases: puede
# bajar porque otra haya subido. El **logit** habla solo de su clase, y no se atasca cuando la red está muy segura. En el
# mapa usarás el logit; en la curva de borrado, la probabilidad.

# %% [markdown]
# ## Ejercicio 1 · Tapar un cuadrado
#
# *8 minutos · dificultad 1 de 5*
#
# El dedo de Amparo: un **parche** (*patch*) cuadrado sobre la imagen. Es poco código, y conviene hacerlo bien, porque lo
# vas a llamar cientos de veces sobre la misma imagen.
#
# **Escribe** `occlude(x, top, left, patch, value)`.
#
# - `x`: imágenes `(N, 3, H, W)`.
# - `top`, `left`: fila y columna de la **esquina superior izquierda** del parche. `patch`: su lado, en píxeles. Siempre
#   cabe entero en la imagen.
# - `value`: un número, o `"mean"`. Con `"mean"`, cada imagen se tapa con **su** media, un número **por canal**, calculada
#   sobre la imagen entera.
# - **Devuelve** `(N, 3, H, W)`: un tensor **nuevo**, con el parche puesto en todas las imágenes y en los tres canales.
#   `x` queda como estaba.
#
# Una trampa: `value=0` es un color, el negro. No es «no me han dicho nada».


# %% nbgrader={"grade": false, "grade_id": "occlude", "locked": false, "schema_version": 3, "solution": true, "task": false}
def occlude(x, top, left, patch, value):
    """Las imágenes (N, 3, H, W) con un cuadrado de lado `patch` tapado."""
    ### BEGIN SOLUTION
    fill = x.mean(dim=(2, 3), keepdim=True) if value == "mean" else value
    covered = x.clone()
    covered[:, :, top : top + patch, left : left + patch] = fill
    return covered
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí occlude: una copia de las imágenes con el cuadrado tapado.")


# %% [markdown]
# <details><summary>Pista 1: ¿dónde están las filas?</summary>
#
# En `(N, 3, H, W)` las filas son el eje 2 y las columnas, el 3. Un corte `a:b` no incluye `b`.
# </details>
# <details><summary>Pista 2: ¿y la media?</summary>
#
# `x.mean(dim=(2, 3), keepdim=True)` es `(N, 3, 1, 1)`: un color por imagen. Asignado a un recorte, PyTorch lo extiende
# solo.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Copia con `x.clone()`, decide el relleno con `if value == "mean"` y asígnalo a
# `copia[:, :, top:top + patch, left:left + patch]`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "occlude-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("occlusion.occlude", globals())

# %% nbgrader={"grade": true, "grade_id": "occlude-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("occlusion.occlude", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un corazón y tres parches puestos *al lado*, sin tocarlo: lo que la red responde y, debajo,
# el logit de «corazón». El parche del color medio casi se confunde con el fondo y no pasa nada. Con el negro no has
# quitado ni un píxel del corazón, y su logit cae a menos de la mitad. La red no ve «nada» donde tapas: ve un cuadrado, y
# cada color es un cuadrado distinto.


# %%
def draw_fills():
    scene = formas(1, seed=31, start=5)
    x, shape = scene.tensor(), int(scene.shape[0])
    versions = torch.cat([x, *(occlude(x, 28, 14, 14, value) for value in ("mean", 1, 0))])
    with torch.no_grad():
        logits = mini(versions)
    titles = [
        f"{name}: «{SHAPES[k]}»\nlogit {v:.1f}".replace(".", ",")
        for name, k, v in zip(("intacta", "media", "blanco", "negro"), logits.argmax(1), logits[:, shape], strict=True)
    ]
    return image_grid(versions, titles, size=1.8)


show(
    draw_fills,
    alt="Un corazón y tres versiones con un parche al lado: del color medio, blanco y negro, que lo confunde.",
)

# %% [markdown]
# ## Ejercicio 2 · El mapa de oclusión
#
# *25 minutos · dificultad 3 de 5*
#
# Ahora el parche recorre la imagen. En cada posición se apunta **cuánto cae** la respuesta, y el mapa reparte esas caídas
# por los píxeles que estaban debajo.
#
# **Escribe** `occlusion_map(model, x, target, patch, stride, value)`.
#
# - `model`, `x`, `target` y `value`: como arriba. `patch` y `stride`: el lado del parche y el paso entre parches, en
#   píxeles. El paso nunca es mayor que el lado, y el parche cabe en la imagen.
# - **Devuelve** los mapas `(N, H, W)`.
#
# Las reglas, para que no haya dudas:
#
# 1. Se mide el **logit** de `target`, no la probabilidad. La clase **no** se vuelve a elegir al tapar.
# 2. En cada eje, los parches empiezan en 0, `stride`, `2 * stride`…, mientras quepan enteros. Si el último no llega al
#    borde lejano, se añade **uno más pegado a él**, que empieza en `H - patch` (o en `W - patch`). Ninguno se sale.
# 3. La caída de un parche es el logit de la imagen intacta **menos** el de la tapada: positiva donde tapar perjudica a la
#    clase. **Conserva el signo**.
# 4. Un píxel puede quedar debajo de varios parches: su valor es la **media** de las caídas de todos los que lo cubren.
# 5. El mapa no se normaliza. Cada imagen tiene el suyo, que no depende de las demás del lote.
# 6. Cada parche se pone sobre la imagen **intacta**; y al acabar no queda rastro, ni en `x` ni en los ajustes de PyTorch.
#
# Puedes usar tu `occlude`. Tarda lo que tardan tantas pasadas de la red como parches haya, así que agradecerás no
# derivar.


# %% nbgrader={"grade": false, "grade_id": "occlusion-map", "locked": false, "schema_version": 3, "solution": true, "task": false}
def occlusion_map(model, x, target, patch, stride, value):
    """Mapas (N, H, W): la caída media del logit `target` al tapar los parches que cubren cada píxel."""
    ### BEGIN SOLUTION
    tops, lefts = (sorted({*range(0, side - patch, stride), side - patch}) for side in x.shape[2:])
    each = torch.arange(len(x))
    total, count = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    with torch.no_grad():
        intact = model(x)[each, target]
        for top in tops:
            for left in lefts:
                drop = intact - model(occlude(x, top, left, patch, value))[each, target]
                total[:, top : top + patch, left : left + patch] += drop[:, None, None]
                count[:, top : top + patch, left : left + patch] += 1
    return total / count
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí occlusion_map: tapa cada posición, resta los logits y promedia por píxel.")


# %% [markdown]
# <details><summary>Pista 1: dos tableros</summary>
#
# Lleva dos tensores del tamaño del mapa: en uno sumas las caídas sobre los píxeles del parche, en el otro cuentas cuántos
# parches han cubierto cada píxel. Al final, divide.
# </details>
# <details><summary>Pista 2: las posiciones de un eje</summary>
#
# `range(0, lado - patch, stride)` da las que caben antes de la última; la última es siempre `lado - patch`, encaje o no.
# Hazlo por separado para el alto y para el ancho.
# </details>
# <details><summary>Pista 3: una caída por imagen</summary>
#
# `model(tapada)[torch.arange(N), target]` es `(N,)`. Para sumarla a un recorte `(N, patch, patch)`, añade dos ejes:
# `drop[:, None, None]`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "occlusion-map-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("occlusion.occlusion_map", globals())

# %% nbgrader={"grade": true, "grade_id": "occlusion-map-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("occlusion.occlusion_map", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Tres escenas y, debajo, dos mapas tuyos de la figura verdadera: uno tapando con el
# color medio de la imagen y otro con negro. El trazo es el contorno exacto del objeto. La red es la misma, la pregunta es
# la misma y solo ha cambiado el color del dedo. ¿Qué dirías, con cada uno, que mira la red en el corazón y
# en la luna?


# %%
def draw_maps():
    scenes = formas(3, seed=31, start=5)
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    rows = [x]
    for value in ("mean", 0):
        heat = occlusion_map(mini, x, target, 8, 4, value).clamp(min=0)
        rows.append(colorize(heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)))
    outlines = torch.from_numpy(scenes.mask)
    names = [SHAPES[k] for k in scenes.shape] + ["con la media"] * 3 + ["con negro"] * 3
    return image_grid(torch.cat(rows), names, columns=3, outlines=torch.cat([outlines & False, outlines, outlines]))


show(draw_maps, alt="Tres escenas con sus mapas de oclusión, hechos con el color medio y con negro, y el contorno.")

# %% [markdown]
# ## Ejercicio 3 · La curva de borrado
#
# *25 minutos · dificultad 4 de 5*
#
# Dos mapas distintos para la misma pregunta: ¿de cuál te fías? Una manera de decidirlo es hacerles caso. Si un mapa dice
# que unos píxeles importan, **bórralos**, de más a menos importante, y mira cómo responde la red. Cuanto antes cae, mejor
# sabía el mapa lo que la red usaba.
#
# **Escribe** `deletion_curve(model, x, target, saliency, steps, value)`.
#
# - `model`, `x`, `target` y `value`: como arriba. `saliency`: mapas `(N, H, W)`. `steps`: número de pasos.
# - **Devuelve** `(steps + 1,)`: la respuesta en cada paso, en **media sobre el lote**.
#
# Las reglas:
#
# 1. El punto 0 es la imagen intacta y el último, la borrada entera.
# 2. En el paso k se han borrado en total `round(k * H * W / steps)` píxeles de cada imagen (el `round` de Python).
# 3. Cada imagen tiene **su** orden: de mayor a menor valor de su mapa, con el signo que tengan (lo negativo, al final).
#    Los empates, **por filas**: antes el de más arriba y, en la misma fila, el de más a la izquierda.
# 4. Borrar un píxel es poner en sus tres canales lo que diga `value`. Con `"mean"`, la media de la imagen **intacta**.
# 5. La respuesta es la **probabilidad** (*softmax*) de `target`, que no se vuelve a elegir.


# %% nbgrader={"grade": false, "grade_id": "deletion-curve", "locked": false, "schema_version": 3, "solution": true, "task": false}
def deletion_curve(model, x, target, saliency, steps, value):
    """Probabilidad media de `target`, (steps + 1,), al borrar lo que el mapa da por más importante."""
    ### BEGIN SOLUTION
    fill = x.mean(dim=(2, 3), keepdim=True) if value == "mean" else value
    order = saliency.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(dim=1).view(len(x), 1, *x.shape[2:])  # el puesto de cada píxel: 0 es el más importante
    pixels = saliency[0].numel()
    points = []
    with torch.no_grad():
        for k in range(steps + 1):
            erased = torch.where(place < round(k * pixels / steps), fill, x)
            probabilities = model(erased).softmax(dim=1)
            points.append(probabilities[torch.arange(len(x)), target].mean())
    return torch.stack(points)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí deletion_curve: ordena los píxeles, borra los primeros y pregunta.")


# %% [markdown]
# <details><summary>Pista 1: ordenar píxeles</summary>
#
# `saliency.flatten(1)` pone los píxeles de cada imagen en una fila, y por filas. `argsort(dim=1, descending=True,
# stable=True)` da sus posiciones de más a menos importante; `stable` deja los empates como estaban.
# </details>
# <details><summary>Pista 2: del orden al puesto</summary>
#
# Si ordenas las posiciones otra vez, `order.argsort(dim=1)`, obtienes el **puesto** de cada píxel: 0 para el más
# importante. Con él, «los m primeros» es `puesto < m`, una máscara que se puede poner en forma de imagen.
# </details>
# <details><summary>Pista 3: un paso</summary>
#
# `torch.where(puesto < m, relleno, x)`, con el puesto en forma `(N, 1, H, W)`; la red; `softmax(dim=1)`; el valor de
# `target` en cada fila; la media. Junta los `steps + 1` valores con `torch.stack`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "deletion-curve-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("occlusion.deletion_curve", globals())

# %% nbgrader={"grade": true, "grade_id": "deletion-curve-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("occlusion.deletion_curve", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un juicio con testigos. Tu mapa de oclusión (con el color medio), un detector de bordes
# que nunca ha visto la red y un orden al azar, borrando con el color medio en diez escenas. El azar también baja: a una
# imagen llena de agujeros nadie le acierta, y por eso hace falta compararse con él. El área de la leyenda es la que
# escribirás ahora.


# %%
def draw_curves():
    scenes = formas(10, seed=31)
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    maps = {
        "tu mapa": occlusion_map(mini, x, target, 16, 8, "mean"),
        "bordes": edge_map(x),
        "azar": random_map((10, 64, 64), torch.Generator().manual_seed(0)),
    }

    def one_by_one(heat):
        parts = [slice(n, n + 1) for n in range(10)]
        return torch.stack([deletion_curve(mini, x[n], target[n], heat[n], 16, "mean") for n in parts])

    return fidelity_curves({name: one_by_one(heat) for name, heat in maps.items()})


show(draw_curves, alt="Tres curvas de borrado con su intervalo: la del mapa de oclusión cae la primera.")

# %% [markdown]
# ## Ejercicio 4 · El área bajo la curva
#
# *7 minutos · dificultad 2 de 5*
#
# Para comparar muchos mapas, cada curva se resume en un número: su área. Menos área es una caída más temprana y, por
# tanto, un mapa más fiel.
#
# **Escribe** `faithfulness_auc(curve)`.
#
# - `curve`: una curva `(steps + 1,)` o un lote de ellas `(N, steps + 1)`, con dos puntos o más. Los puntos están
#   repartidos por igual: el primero en la abscisa 0 y el último en la 1.
# - **Devuelve** el área por la **regla de los trapecios**: un tensor sin dimensiones `()`, o `(N,)` si llegó un lote. Un
#   tensor, no un número de Python.
# - El área se da tal cual, con su signo: no se divide por el primer valor ni se resta de 1.


# %% nbgrader={"grade": false, "grade_id": "faithfulness-auc", "locked": false, "schema_version": 3, "solution": true, "task": false}
def faithfulness_auc(curve):
    """Área bajo cada curva (..., steps + 1), por trapecios y con la abscisa de 0 a 1."""
    ### BEGIN SOLUTION
    heights = (curve[..., 1:] + curve[..., :-1]) / 2
    return heights.mean(dim=-1)  # cada paso mide 1 / steps: sumar los trapecios es hacer la media de sus alturas
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí faithfulness_auc: el área por trapecios, con la abscisa de 0 a 1.")


# %% [markdown]
# <details><summary>Pista 1: un trapecio</summary>
#
# Entre dos puntos vecinos, de alturas a y b, hay un trapecio de área `anchura * (a + b) / 2`.
# </details>
# <details><summary>Pista 2: ¿cuánto mide un paso?</summary>
#
# Hay un paso menos que puntos, y entre todos suman 1.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `curve[..., 1:]` y `curve[..., :-1]` son los finales y los comienzos de todos los pasos, también en un lote. O busca
# `torch.trapezoid` y dale la anchura.
# </details>

# %% nbgrader={"grade": true, "grade_id": "faithfulness-auc-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("occlusion.faithfulness_auc", globals())

# %% nbgrader={"grade": true, "grade_id": "faithfulness-auc-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("occlusion.faithfulness_auc", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una sorpresa. Enfrenta tus dos mapas, el hecho con negro y el hecho con la media, y borra
# también de las dos maneras. Cada punto es el área media en diez escenas, con su intervalo; menos es mejor. En cada panel
# gana el mapa hecho con el color con que se borra: el juez y uno de los acusados son de la misma familia. Con tan pocas
# escenas los intervalos se pisan; con cuarenta, el orden es el mismo. Cuando leas que un método «es más fiel», pregunta
# con qué se borraba.


# %%
def draw_areas():
    scenes = formas(10, seed=31)
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    maps = {
        "mapa hecho con negro": occlusion_map(mini, x, target, 16, 8, 0),
        "mapa hecho con la media": occlusion_map(mini, x, target, 16, 8, "mean"),
        "azar": random_map((10, 64, 64), torch.Generator().manual_seed(0)),
    }
    parts = [slice(n, n + 1) for n in range(10)]
    scores = {}
    for title, value in {"borrando con negro": 0, "borrando con la media": "mean"}.items():
        rows = []
        for heat in maps.values():
            curves = torch.stack([deletion_curve(mini, x[n], target[n], heat[n], 8, value) for n in parts])
            rows.append(mean_and_interval(faithfulness_auc(curves)))
        scores[title] = rows
    return interval_plot(list(maps), scores, xlabel="área bajo la curva de borrado (menos es mejor)")


show(draw_areas, alt="Área de tres mapas en dos paneles: en cada uno gana el mapa hecho con el color con que se borra.")

# %% [markdown]
# ## Ejercicio 5 · ¿Cae en el objeto?
#
# *15 minutos · dificultad 3 de 5*
#
# Hay otra pregunta, y es distinta: no «¿usa la red esos píxeles?», sino «¿están esos píxeles en el objeto?». En Formas se
# puede contestar sin opinar, porque de cada escena se conoce la máscara exacta.
#
# **Escribe** `mask_overlap(saliency, mask, quantile)`.
#
# - `saliency`: mapas `(N, H, W)`. `mask`: máscaras booleanas `(N, H, W)`. `quantile`: un número en [0, 1].
# - La zona destacada de cada imagen son los píxeles con valor **mayor o igual** que el cuantil `quantile` de **su** mapa.
#   Con 0.9, la décima parte de más valor, y todo lo que empate con ella.
# - Si el cuantil cae entre dos valores se **interpola** en línea recta, como hacen por omisión `torch.quantile` y
#   `numpy.quantile`.
# - El mapa se usa tal cual: sin valor absoluto y sin poner a cero lo negativo.
# - **Devuelve** `(N,)`, en [0, 1]: de los píxeles de la zona, qué parte cae en la máscara. La zona nunca está vacía; si
#   lo está la máscara, el resultado es 0.


# %% nbgrader={"grade": false, "grade_id": "mask-overlap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mask_overlap(saliency, mask, quantile):
    """Qué parte (N,) de la zona más destacada de cada mapa cae en su máscara."""
    ### BEGIN SOLUTION
    level = saliency.flatten(1).quantile(quantile, dim=1)
    region = saliency >= level[:, None, None]
    inside = (region & mask).sum(dim=(1, 2))
    return inside.to(saliency.dtype) / region.sum(dim=(1, 2))
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí mask_overlap: la zona desde el cuantil y qué parte cae en la máscara.")


# %% [markdown]
# <details><summary>Pista 1: un cuantil por mapa</summary>
#
# `saliency.flatten(1)` tiene un mapa por fila, y `.quantile(q, dim=1)` da un umbral `(N,)`.
# </details>
# <details><summary>Pista 2: comparar</summary>
#
# Para comparar `(N, H, W)` con `(N,)` hacen falta dos ejes más: `level[:, None, None]`. Y es `>=`.
# </details>
# <details><summary>Pista 3: contar</summary>
#
# `region & mask` son los píxeles comunes. Suma los ejes 1 y 2 de eso y de `region`, y divide; el resultado lleva el tipo
# del mapa, `.to(saliency.dtype)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "mask-overlap-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("occlusion.mask_overlap", globals())

# %% nbgrader={"grade": true, "grade_id": "mask-overlap-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("occlusion.mask_overlap", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un segundo juez, que no borra nada: cuánto de la décima parte más destacada cae en el
# objeto, en dieciséis escenas, con tus dos mapas y tres controles que no han visto la red. El hecho con negro, que en el
# ejercicio 4 ganaba un juicio, aquí no llega ni al detector de bordes. No hay contradicción: cuando tapas con negro, la
# red responde también al cuadrado que has puesto, y el mapa lo cuenta fielmente. «La red reacciona a esto» y «esto es el
# objeto» son dos preguntas. Que el mapa caiga en el objeto tampoco es un mérito suyo si la red mira a otro sitio.


# %%
def draw_overlap():
    scenes = formas(16, seed=31)
    x, target, mask = scenes.tensor(), torch.from_numpy(scenes.shape), torch.from_numpy(scenes.mask)
    maps = {
        "mapa hecho con negro": occlusion_map(mini, x, target, 16, 8, 0),
        "mapa hecho con la media": occlusion_map(mini, x, target, 16, 8, "mean"),
        "detector de bordes": edge_map(x),
        "siempre el centro": center_gaussian(64, 64).expand(16, 64, 64),
        "azar": random_map((16, 64, 64), torch.Generator().manual_seed(0)),
    }
    rows = [mean_and_interval(mask_overlap(heat, mask, 0.9)) for heat in maps.values()]
    return interval_plot(list(maps), {"décima parte más destacada": rows}, xlabel="parte que cae en el objeto")


show(
    draw_overlap,
    alt="Qué parte de lo más destacado cae en el objeto, según cinco mapas: dos de oclusión y tres controles.",
)

# %% [markdown]
# ## Para pensar
#
# Amparo ya puede enseñar a sus colegas dónde «mira» la red. Antes de que lo haga, responde en unas líneas: **¿qué *no*
# demuestra un mapa de oclusión?** Piensa en el color del parche, en su tamaño, y en lo que pasaría si la figura se
# reconociera igual por dos sitios distintos.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Tapar es intervenir, así que la caída sí es un efecto; lo que no demuestra el mapa es que se deba a que *falta* lo que
# había debajo. El parche añade algo: un cuadrado con sus bordes y su color, una imagen que la red no vio al entrenarse.
# Con negro y con la media salen mapas distintos de la misma red. Una zona fría tampoco demuestra que no se use: si la
# figura se reconoce por dos sitios, tapar solo uno no baja nada, porque queda el otro; los parches se ponen de uno en uno
# y no ven esas combinaciones. El resultado depende del tamaño: un parche pequeño no tapa lo que importa y uno grande tapa
# también lo que lo rodea. No dice *qué* ve la red ahí (forma, color o textura), ni que acierte por buenas razones. Y que
# una curva de borrado le dé buena nota vale poco si borra con el mismo color con que se hizo el mapa.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | distingue quitar información de añadir un cuadrado, explica la redundancia (dos pistas, ninguna cae) y propone una comprobación: otro relleno, otro tamaño, tapar dos zonas a la vez o la escena sin el objeto |
# | bien | da dos límites ciertos (color, tamaño, redundancia, qué ve ahí, buenas razones) sin explicarlos del todo |
# | insuficiente | dice solo que «depende del parche», o toma la zona caliente por todo lo que la red usa y la fría por lo que no |

# %% [markdown]
# **Para seguir.** El capítulo 06 del libro tapa de más maneras, entre ellas con la misma escena sin el objeto, y mide estos
# mapas contra controles.
