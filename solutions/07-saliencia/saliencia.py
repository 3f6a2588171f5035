# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 07 · Saliencia
#
# Nadia restaura azulejos. Los fragmentos le llegan sucios y revueltos, y una red pequeña la ayuda a clasificarlos: mira
# la fotografía de uno y dice «luna», «estrella» o «cruz». Suele acertar. Pero antes de pegar una pieza que lleva tres
# siglos esperando, Nadia quiere preguntarle a la red una cosa más: *¿en qué te has fijado?*
#
# Hay una manera directa de preguntarlo. Si este píxel cambiara un poco, ¿cuánto cambiaría tu respuesta? Eso es una
# derivada, y una sola pasada hacia atrás la da para todos los píxeles a la vez. El dibujo que sale se llama **mapa de
# saliencia**. Es rápido, vale para casi cualquier red y engaña con facilidad: en este cuaderno lo escribes, lo mejoras
# de dos maneras y, al final, le haces la prueba que de verdad importa.
#
# **Al terminar sabrás**
#
# - calcular cuánto importa cada píxel para cualquier clase, no solo para la que gana;
# - medir si un mapa señala el objeto, en vez de fiarte de la vista;
# - suavizar un mapa promediando gradientes (SmoothGrad) y repartir una respuesta entera entre los píxeles (gradientes
#   integrados);
# - comprobar si un mapa depende de lo que la red ha aprendido o saldría igual de una red que no sabe nada.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `saliency_map` | 20 | 3 de 5 | 5 de 5 |
# | 2 | `pointing_game` | 10 | 2 de 5 | 4 de 5 |
# | 3 | `smoothgrad` | 15 | 3 de 5 | 3 de 5 |
# | 4 | `integrated_gradients` | 25 | 4 de 5 | 4 de 5 |
# | 5 | `randomize_layers` | 20 | 3 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** `model` es una red en modo `eval` que recibe imágenes `(N, 3, H, W)` en [0, 1] y
# devuelve logits `(N, K)`: N imágenes, K clases. `target` es la clase que se explica: un entero, la misma para todas
# las imágenes, **o** un `LongTensor` `(N,)` con una por imagen; no tiene por qué ser la que la red elegiría. Los mapas
# se devuelven `(N, H, W)`, sin normalizar, en el dispositivo y el tipo de `x`, y cada uno depende solo de su imagen. Lo
# que llega no se modifica: la imagen queda igual y la red también, sin `.grad`, con el mismo modo y los mismos
# `requires_grad`. Cualquier manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es
# llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy

import torch

from convlab.data.formas import SHAPES, formas
from convlab.exercises import grade, show
from convlab.metrics import center_gaussian, edge_map, mass_inside, rank_correlation
from convlab.models import load_model
from convlab.plots import colorize, image_grid
from convlab.plots.explanation import comparison_grid

mini = load_model("mini")  # la red de Nadia: reconoce las diez figuras de Formas

# %% [markdown]
# ## Un ejemplo resuelto: derivar respecto de una imagen
#
# Casi siempre se deriva respecto de los pesos, para entrenar. Aquí los pesos no se tocan y se deriva respecto de la
# **imagen**. Con una «red» de juguete se puede comprobar a mano: su respuesta es el doble del rojo de un píxel menos el
# cuadrado del azul de otro.


# %%
def toy(image):
    return 2 * image[0, 0, 0, 1] - image[0, 2, 1, 0] ** 2


picture = torch.full((1, 3, 2, 2), 0.3, dtype=torch.float64)
leaf = picture.detach().clone().requires_grad_()  # una copia: la imagen que te dieron no se toca
(slope,) = torch.autograd.grad(toy(leaf), leaf)

for channel, row, column in ((0, 0, 1), (2, 1, 0), (1, 0, 0)):
    nudged = picture.clone()
    nudged[0, channel, row, column] += 1e-6
    change = (toy(nudged) - toy(picture)) / 1e-6
    print(
        f"canal {channel}, píxel ({row}, {column}): derivada {slope[0, channel, row, column]:+.3f} · empujando {change:+.3f}"
    )

# %% [markdown]
# Tres detalles que te harán falta:
#
# - Se deriva respecto de una **copia** con `requires_grad_()`. Si se lo pidieras a la imagen original, se quedaría así.
# - `torch.autograd.grad` devuelve la derivada. `.backward()` la *suma* a lo que ya hubiera en `.grad`, y de paso la
#   deja en todos los parámetros de la red.
# - La derivada tiene la forma de la imagen, con un valor por canal y con **signo**: el rojo empuja hacia arriba, el
#   azul hacia abajo, y lo demás no interviene.

# %% [markdown]
# ## Ejercicio 1 · El mapa de saliencia
#
# *20 minutos · dificultad 3 de 5*
#
# La derivada del logit respecto de la imagen dice, en cada píxel y cada canal, cuánto se movería la respuesta. Para
# dibujarla hace falta un número por píxel: el del canal que más pesa, hacia arriba o hacia abajo.
#
# **Escribe** `saliency_map(model, x, target)`.
#
# - `model`: la red. `x`: imágenes `(N, 3, H, W)`. `target`: un entero o un `LongTensor` `(N,)`.
# - **Devuelve** los mapas `(N, H, W)`.
#
# Las reglas, para que no haya dudas:
#
# 1. Se deriva el **logit** de la clase, no la probabilidad (*softmax*) ni la pérdida.
# 2. En cada píxel, el **mayor valor absoluto** de los tres canales: primero `abs`, después el máximo.
# 3. El mapa **no se normaliza**, ni se multiplica por la imagen.
# 4. Cada imagen va por su cuenta: su mapa es el mismo sola que acompañada.
# 5. Vale igual si los parámetros de la red están congelados, y si se llama dos veces con la misma imagen.


# %% nbgrader={"grade": false, "grade_id": "saliency-map", "locked": false, "schema_version": 3, "solution": true, "task": false}
def saliency_map(model, x, target):
    """Mapas de saliencia (N, H, W): el mayor valor absoluto del gradiente entre los canales."""
    ### BEGIN SOLUTION
    leaf = x.detach().clone().requires_grad_()
    logits = model(leaf)
    score = logits[torch.arange(len(x)), target].sum()  # ninguna imagen influye en el logit de otra
    (gradient,) = torch.autograd.grad(score, leaf)
    return gradient.abs().amax(dim=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí saliency_map: deriva el logit respecto de la imagen, abs y máximo.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Son cuatro pasos: (a) una copia de `x` que pida gradiente; (b) los logits de esa copia; (c) un número que reúna los
# logits que te interesan; (d) su derivada respecto de la copia.
# </details>
# <details><summary>Pista 2: una clase por imagen, sin bucle</summary>
#
# `logits[torch.arange(N), target]` escoge un logit por fila y vale tanto para un entero como para un `LongTensor`.
# Puedes sumarlos antes de derivar: en modo `eval` el logit de una imagen no depende de las demás, así que cada una
# recibe su propio gradiente. Súmalos, no los promedies: la media dividiría todo por N.
# </details>
# <details><summary>Pista 3: de tres canales a un número</summary>
#
# El gradiente es `(N, 3, H, W)`. Con `.abs()` se pierde el signo y con `.amax(dim=1)` queda el mayor de los tres. En
# ese orden: de −3 y 1, el mayor en tamaño es 3.
# </details>

# %% nbgrader={"grade": true, "grade_id": "saliency-map-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("saliency.saliency_map", globals())

# %% nbgrader={"grade": true, "grade_id": "saliency-map-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("saliency.saliency_map", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Cinco piezas, y debajo lo que tu función responde por su figura verdadera. El trazo
# es el contorno exacto del objeto, que conocemos porque las escenas las generamos. Los puntos se amontonan cerca de
# la figura, pero fíjate en lo moteado que sale y en cuántos caen fuera.


# %%
def draw_saliency():
    scenes = formas(10, seed=7)[[0, 3, 4, 7, 9]]
    x = scenes.tensor()
    heat = saliency_map(mini, x, torch.from_numpy(scenes.shape))
    tiles = colorize((heat / heat.flatten(1).quantile(0.995, dim=1)[:, None, None]).clamp(max=1))
    outlines = torch.from_numpy(scenes.mask)
    names = [SHAPES[k] for k in scenes.shape]
    return image_grid(torch.cat([x, tiles]), names, columns=5, outlines=torch.cat([outlines & False, outlines]))


show(draw_saliency, alt="Cinco escenas y sus mapas de saliencia, moteados, con el contorno del objeto encima.")

# %% [markdown]
# ## Ejercicio 2 · El juego del puntero
#
# *10 minutos · dificultad 2 de 5*
#
# «Los puntos se amontonan cerca» es una impresión. Una medida sencilla: si el mapa tuviera un dedo y pudiera señalar
# un solo píxel, el de mayor valor, ¿señalaría el objeto?
#
# **Escribe** `pointing_game(saliency, mask)`.
#
# - `saliency`: mapas `(N, H, W)` de cualquier signo. `mask`: máscaras booleanas `(N, H, W)`, verdaderas en el objeto.
# - **Devuelve** un tensor **booleano** `(N,)`: por cada imagen, si el máximo de su mapa cae en su objeto.
# - El máximo es el mayor valor **tal cual**, sin valor absoluto, y el de **cada mapa**, no el del lote.
# - Si varios píxeles empatan, cuenta **el primero por filas**: de arriba abajo y, en cada fila, de izquierda a derecha.
# - Un mapa **constante**, valga lo que valga, no señala nada: es un fallo aunque el objeto ocupe toda la imagen. Un
#   mapa entero negativo, en cambio, señala como cualquier otro.
# - Con una máscara vacía no hay dónde acertar: fallo.


# %% nbgrader={"grade": false, "grade_id": "pointing-game", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pointing_game(saliency, mask):
    """Si el máximo de cada mapa (N, H, W) cae en su máscara: booleano (N,)."""
    ### BEGIN SOLUTION
    flat = saliency.flatten(1)
    peak = flat.argmax(dim=1)  # si hay empate, el primero
    inside = mask.flatten(1)[torch.arange(len(mask)), peak]
    points_somewhere = flat.amin(dim=1) < flat.amax(dim=1)
    return inside & points_somewhere
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí pointing_game: el máximo de cada mapa, y si su máscara lo contiene.")


# %% [markdown]
# <details><summary>Pista 1: un máximo por imagen</summary>
#
# `flatten(1)` pone cada mapa en una fila, por filas. `argmax(dim=1)` da entonces una posición por imagen y, si hay
# empate, la primera.
# </details>
# <details><summary>Pista 2: mirar la máscara ahí</summary>
#
# Aplana la máscara de la misma manera y la posición sirve tal cual: `mask.flatten(1)[torch.arange(N), posición]`. No
# hace falta volver a filas y columnas.
# </details>
# <details><summary>Pista 3: los mapas constantes</summary>
#
# Un mapa es constante si su mínimo es igual a su máximo. Exige además que no lo sea, con un `&`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "pointing-game-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("saliency.pointing_game", globals())

# %% nbgrader={"grade": true, "grade_id": "pointing-game-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("saliency.pointing_game", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un marcador. En cien escenas, cuántas veces señala el objeto tu mapa de saliencia, y
# cuántas lo hacen dos rivales que no han visto la red: uno que señala al azar y otro que señala siempre el centro. El
# segundo es peligroso: los objetos suelen estar cerca del centro, y cualquier medida debe compararse con él. En la
# figura, el círculo es el dedo.


# %%
def draw_pointing():
    scenes = formas(100, seed=70)
    x, mask = scenes.tensor(), torch.from_numpy(scenes.mask)
    heat = saliency_map(mini, x, torch.from_numpy(scenes.shape))
    rivals = {
        "tu mapa de saliencia": heat,
        "un píxel al azar": torch.rand(heat.shape, generator=torch.Generator().manual_seed(0)),
        "siempre el centro": center_gaussian(64, 64).expand_as(heat),
    }
    for name, maps in rivals.items():
        print(f"{name:22} {int(pointing_game(maps, mask).sum()):3d} de 100")
    hits = pointing_game(heat, mask)
    shown = torch.cat([hits.nonzero()[:3, 0], (~hits).nonzero()[:3, 0]])
    peak = heat[shown].flatten(1).argmax(1)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    finger = (rows - (peak // 64)[:, None, None]) ** 2 + (columns - (peak % 64)[:, None, None]) ** 2 <= 9
    return image_grid(x[shown], ["acierto"] * 3 + ["fallo"] * 3, outlines=finger)


show(draw_pointing, alt="Seis escenas con un círculo donde el mapa es máximo: tres dentro del objeto y tres fuera.")

# %% [markdown]
# ## Ejercicio 3 · SmoothGrad: quitar ruido poniendo ruido
#
# *15 minutos · dificultad 3 de 5*
#
# ¿Por qué sale moteado el mapa? Porque la derivada cambia mucho de un punto al de al lado: la red está hecha de trozos
# rectos, y basta mover la imagen una pizca para caer en otro. SmoothGrad hace lo que se hace con cualquier medida
# inestable: repetirla con pequeñas variaciones y promediar.
#
# **Escribe** `smoothgrad(model, x, target, n, sigma, generator)`.
#
# - `model`, `x`, `target`: los de `saliency_map`.
# - `n`: cuántas copias con ruido se hacen de cada imagen, desde 1. `sigma`: desviación típica del ruido, en las
#   unidades de la imagen, [0, 1]; puede ser 0.
# - `generator`: el `torch.Generator` del que sale **todo** el azar. Con la misma semilla, el mismo mapa; y el azar
#   global no se mueve. El orden en que lo uses es cosa tuya.
# - **Devuelve** los mapas `(N, H, W)`.
#
# Las reglas:
#
# 1. Cada copia es la imagen original más ruido **gaussiano** de media 0. Es nuevo en cada copia, y distinto en cada
#    imagen, cada píxel y cada canal. Las copias **no se recortan** a [0, 1].
# 2. Se promedian los gradientes de las n copias **con su signo**. La imagen sin ruido no cuenta como copia.
# 3. Al final, como en `saliency_map`: valor absoluto y el mayor de los tres canales.


# %% nbgrader={"grade": false, "grade_id": "smoothgrad", "locked": false, "schema_version": 3, "solution": true, "task": false}
def smoothgrad(model, x, target, n, sigma, generator):
    """Mapas (N, H, W) del gradiente medio en n copias de cada imagen con ruido gaussiano."""
    ### BEGIN SOLUTION
    total = torch.zeros_like(x)
    for _ in range(n):
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        noisy = (x + sigma * noise).detach().requires_grad_()
        score = model(noisy)[torch.arange(len(x)), target].sum()
        total += torch.autograd.grad(score, noisy)[0]
    return (total / n).abs().amax(dim=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí smoothgrad: promedia n gradientes con ruido, y después abs y máximo.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Un bucle de n vueltas. En cada una: ruido nuevo, una copia `x + sigma * ruido`, su gradiente como en el ejercicio 1
# (sin `abs` todavía) y a sumar. Después del bucle, dividir por n, `abs` y el máximo de los canales.
# </details>
# <details><summary>Pista 2: el ruido</summary>
#
# `torch.randn(x.shape, generator=generator, dtype=x.dtype)` da ruido gaussiano de media 0 y desviación 1 con la forma
# de `x`. `torch.randn_like` no acepta generador en todas las versiones: usaría el azar global.
# </details>
# <details><summary>Pista 3: ¿por qué no promediar los mapas?</summary>
#
# Un píxel cuyo gradiente vale +1 en la mitad de las copias y −1 en la otra mitad no dice nada: su media es 0. Si
# tomas antes el valor absoluto, su media es 1 y parece importantísimo. Lo que oscila es justo el ruido que se quiere
# quitar.
# </details>

# %% nbgrader={"grade": true, "grade_id": "smoothgrad-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("saliency.smoothgrad", globals())

# %% nbgrader={"grade": true, "grade_id": "smoothgrad-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("saliency.smoothgrad", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Las mismas piezas con 16 copias y cada vez más ruido; los números dicen qué parte del
# mapa cae en el objeto. ¿Mejora? En esta red y con esta medida, no: un dibujo más suave no tiene por qué acertar más.
# Y con demasiado ruido las copias dejan de parecerse a la imagen, y el mapa habla de otra cosa: `sigma` no es un
# adorno, es parte de la pregunta.


# %%
def draw_smooth():
    scenes = formas(10, seed=7)[[0, 4, 7]]
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    sigmas = (0.0, 0.05, 0.1, 0.3)
    maps = [
        smoothgrad(mini, x, target, 16 if sigma else 1, sigma, torch.Generator().manual_seed(0)) for sigma in sigmas
    ]
    titles = ["sin ruido", *(f"sigma = {sigma:g}".replace(".", ",") for sigma in sigmas[1:])]
    for title, heat in zip(titles, maps, strict=True):
        inside = mass_inside(heat, torch.from_numpy(scenes.mask)).mean()
        print(f"{title:12} {100 * inside:3.0f} % dentro del objeto")
    return comparison_grid(x, maps, titles, [False] * len(maps))


show(draw_smooth, alt="Tres escenas y sus mapas sin ruido y con tres cantidades de ruido.")

# %% [markdown]
# ## Ejercicio 4 · Gradientes integrados
#
# *25 minutos · dificultad 4 de 5*
#
# Nadia pregunta ahora otra cosa: *todos esos puntos que has dado a «luna», repártelos entre los píxeles*. El gradiente
# no sabe repartir: dice cuánto cambiaría la respuesta, no de dónde viene. Y si la red está ya muy segura, su gradiente
# puede ser casi nulo en lo que más importa.
#
# Los gradientes integrados parten de una imagen sin información, la **línea base** (un cuadro negro, por ejemplo), y
# van en línea recta hasta la imagen. Por el camino suman lo que aporta cada píxel. Al llegar, la suma de todo el mapa
# es exactamente lo que ha subido el logit: `F(x) − F(línea base)`. Esa propiedad se llama **completitud**.
#
# **Escribe** `integrated_gradients(model, x, target, baseline, steps)`.
#
# - `model`, `x`, `target`: los de siempre.
# - `baseline`: de dónde sale el camino. Un número (`0.0` es negro) **o** un tensor que se puede extender a la forma de
#   `x`: `(1, 3, 1, 1)`, un color, o `(N, 3, H, W)`, una imagen por imagen.
# - `steps`: en cuántos tramos iguales se parte el camino.
# - **Devuelve** los mapas `(N, H, W)`, **con signo**.
#
# Las reglas:
#
# 1. El camino es `baseline + t · (x − baseline)`, con t de 0 a 1.
# 2. Se promedia por el camino el gradiente del **logit** de la clase. La media es una integral: calcúlala con la regla
#    del **punto medio** de cada tramo, `t = (k + 0.5) / steps`, o con otra igual de precisa o más (trapecios, Simpson,
#    Gauss–Legendre). Tomar solo un extremo de cada tramo, el izquierdo o el derecho, **no basta**.
# 3. La media se multiplica por la diferencia, `x − baseline`.
# 4. Los tres canales **se suman**, con su signo: si no, no habría completitud.


# %% nbgrader={"grade": false, "grade_id": "integrated-gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def integrated_gradients(model, x, target, baseline, steps):
    """Mapas (N, H, W), con signo, que reparten F(x) − F(baseline) entre los píxeles."""
    ### BEGIN SOLUTION
    difference = x - baseline
    total = torch.zeros_like(x)
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * difference).detach().requires_grad_()
        score = model(point)[torch.arange(len(x)), target].sum()
        total += torch.autograd.grad(score, point)[0]
    return (total / steps * difference).sum(dim=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí integrated_gradients: gradiente medio del camino, por la diferencia.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Se parece mucho a `smoothgrad`: un bucle, un gradiente por vuelta y una media. Lo que cambia es dónde se calcula cada
# gradiente (en un punto del camino, sin azar) y lo que se hace con la media.
# </details>
# <details><summary>Pista 2: el punto medio</summary>
#
# Con 4 tramos, los puntos medios son 1/8, 3/8, 5/8 y 7/8: `(k + 0.5) / steps` con k de 0 a 3. Con
# `torch.linspace(0, 1, steps)` y una media sin más, los dos extremos pesan el doble de lo que deben.
# </details>
# <details><summary>Pista 3: compruébalo tú</summary>
#
# Compara `mapa.sum(dim=(1, 2))` con el logit de la imagen menos el de la línea base. Si no coinciden: ¿has
# multiplicado por `x - baseline`, y no por `x`?, ¿has dividido por `steps`?, ¿has sumado los canales con su signo?
# </details>

# %% nbgrader={"grade": true, "grade_id": "integrated-gradients-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("saliency.integrated_gradients", globals())

# %% nbgrader={"grade": true, "grade_id": "integrated-gradients-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("saliency.integrated_gradients", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un reparto que cuadra. En rojo, lo que sube el logit; en azul, lo que lo baja. Los dos
# mapas explican la misma respuesta y son distintos, porque parten de sitios distintos: desde el negro, un píxel negro
# no puede recibir nada, por mucho que importe. La tabla comprueba la completitud; lo poco que no cuadra es el error de
# la integral con 32 tramos.


# %%
def draw_integrated():
    scenes = formas(10, seed=7)[[0, 4, 7]]
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    maps = {value: integrated_gradients(mini, x, target, value, 32) for value in (0.0, 0.5)}
    print("figura       línea base   suma del mapa   F(x) − F(línea base)")
    with torch.no_grad():
        for value, heat in maps.items():
            change = (mini(x) - mini(torch.full_like(x, value)))[torch.arange(len(x)), target]
            for k, total, wanted in zip(scenes.shape, heat.sum(dim=(1, 2)), change, strict=True):
                print(f"{SHAPES[k]:12} {'negro' if value == 0 else 'gris':10} {total:15.3f} {wanted:22.3f}")
    return comparison_grid(x, list(maps.values()), ["desde el negro", "desde el gris"], [True, True])


show(draw_integrated, alt="Tres escenas y sus gradientes integrados desde el negro y desde el gris, en rojo y azul.")

# %% [markdown]
# ## Ejercicio 5 · Hacer que la red olvide
#
# *20 minutos · dificultad 3 de 5*
#
# Un mapa bonito puede no decir nada de la red. Un detector de bordes, que no ha visto ninguna, también dibuja la
# figura. La prueba es sencilla y cruel: se toma una copia de la red, se le borra lo aprendido y se vuelve a pedir el
# mapa. Si sale igual, el mapa no hablaba de lo aprendido.
#
# **Escribe** `randomize_layers(model, names, generator)`.
#
# - `model`: la red, que **no cambia**. `names`: lista de nombres con puntos de las capas que olvidan, como `"fc"` o
#   `"block5.conv"`. `generator`: el `torch.Generator` del que sale el azar.
# - **Devuelve** otra red: una copia entera, que no comparte memoria con la original.
#
# Las reglas:
#
# 1. Olvidar es volver a los valores de una capa **recién creada**: los que pone su propio método `reset_parameters()`,
#    que tienen las convoluciones, las capas lineales y BatchNorm. Reinicia pesos y sesgo y, en BatchNorm, también la
#    media y la varianza que fue guardando.
# 2. Si el nombre es el de un bloque, olvida **todo lo que contiene**.
# 3. Ninguna otra capa cambia, aunque su nombre empiece igual: `block1` no es `block10`.
# 4. Con la misma semilla en `generator`, la misma copia; con otra, otra. Dos capas iguales no reciben los mismos
#    números. El azar global queda como estaba.
# 5. La copia conserva lo demás: el modo, el tipo de los números y qué parámetros piden gradiente.


# %% nbgrader={"grade": false, "grade_id": "randomize-layers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def randomize_layers(model, names, generator):
    """Copia de la red en la que las capas de `names`, con lo que contienen, han vuelto al azar."""
    ### BEGIN SOLUTION
    broken = copy.deepcopy(model)
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng():  # al salir, el azar global vuelve a como estaba
        torch.manual_seed(seed)
        for name in names:
            for module in broken.get_submodule(name).modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
    return broken
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí randomize_layers: copia la red y reinicia en la copia las capas pedidas.")


# %% [markdown]
# <details><summary>Pista 1: la copia y sus capas</summary>
#
# `copy.deepcopy(model)` copia la red entera; `copy.copy` no, porque comparte las capas. `red.get_submodule("block5")`
# da una capa por su nombre, y `capa.modules()` la recorre a ella y a todo lo que contiene.
# </details>
# <details><summary>Pista 2: el azar</summary>
#
# `reset_parameters()` no acepta un generador: usa el azar global. Saca de `generator` una semilla, con
# `torch.randint(2**62, (1,), generator=generator)`, y ponla con `torch.manual_seed`. Una vez, antes de empezar: si la
# pones en cada vuelta, dos capas iguales reciben los mismos números.
# </details>
# <details><summary>Pista 3: sin dejar huella</summary>
#
# Dentro de `with torch.random.fork_rng():` puedes hacer lo que quieras con el azar global: al salir vuelve a como
# estaba. No todos los módulos tienen `reset_parameters` (una ReLU no aprende nada): pregunta con `hasattr`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "randomize-layers-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("saliency.randomize_layers", globals())

# %% nbgrader={"grade": true, "grade_id": "randomize-layers-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("saliency.randomize_layers", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La prueba de control. `mini` va olvidando desde la salida hacia la entrada: «hasta
# block4» quiere decir que han olvidado `fc`, `block5` y `block4`. La tabla da el parecido con el mapa original
# (correlación de los órdenes: 1 es idéntico, 0 es nada) en veinte escenas, y el de un detector de bordes, que no tiene
# red que olvidar. El mapa se entera, pero mira las piezas: su silueta se sigue viendo cuando casi nada de lo aprendido
# queda en pie.


# %%
def draw_forgetting():
    scenes = formas(20, seed=7)
    x, target = scenes.tensor(), torch.from_numpy(scenes.shape)
    order = ["fc", "block5", "block4", "block3", "block2", "block1"]
    original = saliency_map(mini, x, target)
    maps = [original]
    for depth in range(1, len(order) + 1):
        forgetful = randomize_layers(mini, order[:depth], torch.Generator().manual_seed(depth))
        maps.append(saliency_map(forgetful, x, target))
    titles = ["mini", "sin fc", *(f"hasta {name}" for name in order[1:])]
    for title, heat in zip(titles, maps, strict=True):
        print(f"{title:14} {rank_correlation(heat, original).mean():5.2f}".replace(".", ","))
    print(f"{'bordes':14} {rank_correlation(edge_map(x), original).mean():5.2f}".replace(".", ","))
    shown = [0, 4]
    return comparison_grid(x[shown], [m[shown] for m in maps], titles, [False] * len(maps))


show(draw_forgetting, alt="Dos escenas y sus mapas de saliencia con la red entera y con cada vez más capas al azar.")

# %% [markdown]
# ## Para pensar
#
# Nadia tiene ya tres mapas y una prueba de control. Antes de que pegue la pieza fiándose de ellos, responde en unas
# líneas: **¿qué *no* demuestra un mapa de saliencia?** Piensa, por ejemplo, en un píxel oscuro del mapa, o en uno de
# los mapas de la red que lo ha olvidado todo.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Un mapa de saliencia no demuestra que la red *use* esos píxeles: es la pendiente en un punto, y dice qué pasaría con
# un cambio diminuto, no qué pasaría al quitar la zona. Para saber eso hay que taparla y medir. Un valor bajo tampoco
# prueba que el píxel no importe: si la red está saturada, lo que más pesa puede tener pendiente casi nula. No dice a
# favor o en contra, porque el valor absoluto borra el signo, ni *qué* ve la red ahí. Y que el mapa dibuje la figura no
# prueba que salga de lo aprendido: parte del dibujo viene de la imagen y de la forma de la red, y por eso hace falta la
# prueba de borrar los pesos. Los gradientes integrados añaden otra salvedad: el reparto depende de la línea base.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | distingue sensibilidad local de causa, propone cómo comprobarlo (tapar y medir, borrar los pesos) y da otro límite con su porqué |
# | bien | da dos límites ciertos (causa, saturación, signo, qué ve ahí, línea base, parecido con los bordes) sin explicarlos del todo |
# | insuficiente | dice solo que «sale ruidoso» o que «puede fallar», o toma el mapa por prueba de lo que la red mira |

# %% [markdown]
# **Para seguir.** El capítulo 07 del libro compara estos mapas en cientos de escenas, contra un detector de bordes y
# contra el centro de la imagen, y enseña qué le pasa a cada método cuando la red olvida. El 06 hace la pregunta de otra
# manera: tapa la zona y mira qué ocurre.
