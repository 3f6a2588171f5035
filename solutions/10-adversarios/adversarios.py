# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 10 · Ejemplos adversarios
#
# Inés dirige un taller de juguetes de madera. Una cámara mira las piezas recién pintadas y una red las reparte: las
# estrellas a una caja, los corazones a otra. Acierta casi siempre, y nadie se acordaba ya de ella hasta que una mañana
# llega un correo sin texto, con dos fotos adjuntas.
#
# Inés las mira un buen rato. Son la misma pieza, con la misma luz; juraría que son la misma foto. La red, en cambio, no
# duda: a la primera responde «círculo», y a la segunda, «anillo». La cámara no está rota y nadie ha tocado la red.
# Alguien ha cambiado cada píxel un poco, muy poco, justo en la dirección que más daño hace.
#
# Esa segunda foto es un **ejemplo adversario** (*adversarial example*; también verás escrito «ejemplo adversarial»). En
# este cuaderno aprendes a fabricarlos, que es la única manera seria de saber cuánto aguanta una red.
#
# **Al terminar sabrás**
#
# - derivar la pérdida respecto de la imagen y usarla para atacar;
# - escribir los dos ataques más usados, FGSM y PGD, y dirigirlos a la clase que quieras;
# - medir un ataque sin engañarte: qué cuenta como éxito y qué no;
# - decir cuánto aguanta cada imagen, y comparar una red corriente con una entrenada para resistir.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `fgsm` | 10 | 2 de 5 | 5 de 5 |
# | 2 | `project_linf` | 5 | 1 de 5 | 4 de 5 |
# | 3 | `pgd` | 20 | 3 de 5 | 5 de 5 |
# | 4 | `attack_success_rate` | 10 | 2 de 5 | 5 de 5 |
# | 5 | `targeted_pgd` | 15 | 3 de 5 | 3 de 5 |
# | 6 | `minimal_epsilon` | 25 | 4 de 5 | 4 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una en
# una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu* función.
# Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo vale para un
# ejemplo no pasa. Puedes usar en un ejercicio las funciones que escribiste en los anteriores.
#
# **Lo que vale para todos.** `model` es una red en modo `eval` que recibe imágenes `(N, 3, H, W)` en [0, 1] y devuelve
# logits `(N, K)`: N imágenes, K clases. Las imágenes `x` están en [0, 1], y lo que cambias se mide en las **mismas
# unidades**: ocho niveles de los 255 de una foto son `8 / 255`, no `8`. La red queda como estaba: sin `.grad` en sus
# parámetros y en el mismo modo. Los resultados se quedan en el dispositivo y el tipo de lo que llega, y lo que llega no
# se modifica. Cualquier manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es
# llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from convlab.data.formas import SHAPES, formas
from convlab.exercises import grade, show
from convlab.models import load_model
from convlab.plots import image_grid
from convlab.plots.adversarial import accuracy_curves, attack_panel, transfer_plot

mini = load_model("mini")  # la red que atacas; al final conocerás a «mini-robusta», entrenada para resistir
scenes = formas(24, seed=10)
x, y = scenes.tensor(), torch.from_numpy(scenes.shape).long()  # veinticuatro piezas y su clase verdadera


@torch.no_grad()
def answers(model, images):
    """Lo que responde la red a cada imagen: `(N,)`."""
    return model(images).argmax(dim=1)


print("mini acierta", int((answers(mini, x) == y).sum()), "de", len(x))

# %% [markdown]
# ## Un ejemplo resuelto: ¿hacia dónde empeora?
#
# Al entrenar se deriva la pérdida respecto de los **pesos**. Aquí se deriva respecto de la **imagen**: los pesos no se
# tocan, y cada derivada dice cuánto subiría la pérdida si ese valor de la imagen creciera un poco.
#
# Con una imagen de un solo píxel, tres valores, se puede comprobar a mano. Si a cada valor se le permite moverse 0,1
# arriba o abajo, hay ocho esquinas. Se prueban todas y se mira cuál es la peor; al lado, la derivada.

# %%
tiny = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
tiny[1].weight.data = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 1.0, 0.0]])
pixel, label = torch.full((1, 3, 1, 1), 0.5), torch.tensor([0])

z = pixel.clone().requires_grad_()  # una copia: la imagen que te dan no se toca
loss = F.cross_entropy(tiny(z), label)
(gradient,) = torch.autograd.grad(loss, z)  # tiene la forma de la imagen

corners = [torch.tensor(signs).view(1, 3, 1, 1) for signs in product([-0.1, 0.1], repeat=3)]
with torch.no_grad():
    worst = max(corners, key=lambda corner: F.cross_entropy(tiny(pixel + corner), label))
    print(f"pérdida: {loss:.3f} · en la peor esquina: {F.cross_entropy(tiny(pixel + worst), label):.3f}")
print("derivada:", [round(v, 2) for v in gradient.flatten().tolist()])
print("peor esquina:", [round(v, 2) for v in worst.flatten().tolist()])

# %% [markdown]
# Compara los signos de las dos últimas líneas: la derivada sabía cuál era la peor esquina sin probar ninguna. En una
# imagen de Formas hay 12 288 valores y las esquinas son 2 elevado a 12 288; la derivada cuesta una pasada hacia
# delante y otra hacia atrás.
#
# Dos detalles que te harán falta:
#
# - `requires_grad_()` se llama sobre una **copia**. Si se llama sobre `x`, la imagen de otra persona queda marcada.
# - `torch.autograd.grad(pérdida, z)` devuelve solo la derivada de la imagen. `.backward()` deja además un `.grad` en
#   cada parámetro de la red.

# %% [markdown]
# ## Ejercicio 1 · Un paso en la peor dirección
#
# *10 minutos · dificultad 2 de 5*
#
# El ataque más sencillo da un solo paso: mira el signo de cada derivada y mueve todos los valores de la imagen lo mismo,
# cada uno hacia donde sube la pérdida. Se llama método del signo del gradiente rápido, **FGSM**.
#
# **Escribe** `fgsm(model, x, y, eps)`.
#
# - `model`: la red. `x`: imágenes `(N, 3, H, W)` en [0, 1]. `y`: las clases verdaderas, `LongTensor` `(N,)`.
# - `eps`: tamaño del paso, en unidades de [0, 1].
# - **Devuelve** las imágenes atacadas `(N, 3, H, W)`: `x + eps * signo(derivada)`, recortadas a [0, 1].
# - La derivada es la de la **entropía cruzada** (`F.cross_entropy`) de la clase de `y`, respecto de la imagen. No la del
#   logit ni la de la clase que la red responde: si la red ya fallaba, se usa `y` igualmente.
# - Se **sube** la pérdida. Donde la derivada es exactamente cero, el valor no cambia.
# - Cada imagen va por su cuenta: su perturbación no depende de con quién comparta el lote.


# %% nbgrader={"grade": false, "grade_id": "fgsm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fgsm(model, x, y, eps):
    """Imágenes (N, 3, H, W) tras un paso de tamaño eps que sube la pérdida."""
    ### BEGIN SOLUTION
    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), y), z)  # la media del lote no cambia los signos
    return (x + eps * gradient.sign()).clamp(0, 1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí fgsm: deriva la pérdida respecto de la imagen, toma el signo y recorta.")


# %% [markdown]
# <details><summary>Pista 1: los pasos</summary>
#
# Son cuatro: una copia de `x` que pida gradiente, la pérdida, su derivada y el paso. Los tres primeros están en el
# ejemplo resuelto.
# </details>
# <details><summary>Pista 2: ¿una pérdida por imagen?</summary>
#
# `F.cross_entropy` promedia el lote. La media divide cada derivada por N, y dividir por un número positivo no cambia el
# signo: no hace falta un bucle.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `gradient.sign()` vale −1, 0 o 1. El resultado es `(x + eps * gradient.sign()).clamp(0, 1)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "fgsm-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.fgsm", globals())

# %% nbgrader={"grade": true, "grade_id": "fgsm-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.fgsm", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El correo que recibió Inés, con tu función: tres escenas, la perturbación amplificada y
# la escena atacada, con lo que responde `mini` y la probabilidad que le da. El cambio es de 4 niveles de 255 por valor.
# ¿Distingues a simple vista la primera columna de la tercera?


# %%
def draw_attack():
    attacked = fgsm(mini, x, y, eps=4 / 255)
    chosen = (answers(mini, attacked) != y).nonzero()[:3, 0]
    print("con 4 niveles, mini deja de acertar", int((answers(mini, attacked) != y).sum()), "de", len(x))
    with torch.no_grad():
        return attack_panel(x[chosen], attacked[chosen], mini(x[chosen]), mini(attacked[chosen]), SHAPES)


show(draw_attack, alt="Tres escenas, la perturbación amplificada y la escena atacada, que la red confunde.")

# %% [markdown]
# ## Ejercicio 2 · De vuelta a la bola
#
# *5 minutos · dificultad 1 de 5*
#
# Si se permite cualquier cambio, engañar a una red no tiene mérito: basta cambiar la imagen por otra. Por eso se pone un
# límite. En **norma L∞** ningún valor puede alejarse del original más de `eps`, y el conjunto de imágenes permitidas se
# llama *bola*, aunque tenga forma de cubo. Cuando un paso se sale, se vuelve al punto permitido más cercano: se
# **proyecta**.
#
# **Escribe** `project_linf(x_adv, x, eps)`.
#
# - `x_adv`: imágenes perturbadas `(N, 3, H, W)`, con cualquier valor. `x`: las originales, en [0, 1]. `eps`: el radio.
# - **Devuelve** `(N, 3, H, W)`: para cada valor, el más cercano al de `x_adv` que esté a la vez en `[x - eps, x + eps]` y
#   en [0, 1].
# - Lo que ya está dentro **no se mueve**. Con `eps = 0` solo cabe la original.
# - Es un tensor nuevo: `x_adv` no se modifica.


# %% nbgrader={"grade": false, "grade_id": "project-linf", "locked": false, "schema_version": 3, "solution": true, "task": false}
def project_linf(x_adv, x, eps):
    """El punto más cercano a x_adv en la bola L∞ de x y en [0, 1]."""
    ### BEGIN SOLUTION
    return (x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí project_linf: recorta el cambio a [-eps, eps] y la imagen a [0, 1].")


# %% [markdown]
# <details><summary>Pista 1: valor a valor</summary>
#
# Los límites de un valor no dependen de los demás: es recortar, no encoger.
# </details>
# <details><summary>Pista 2: ¿qué se recorta?</summary>
#
# La diferencia `x_adv - x` se recorta a `[-eps, eps]`; después se vuelve a sumar `x`.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Y la imagen que resulta se recorta a [0, 1] con otro `.clamp`, sin guion bajo: `clamp_` escribe encima.
# </details>

# %% nbgrader={"grade": true, "grade_id": "project-linf-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.project_linf", globals())

# %% nbgrader={"grade": true, "grade_id": "project-linf-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.project_linf", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un control. Aquí el cambio no mira la red: es ruido al azar, proyectado con tu función en
# bolas cada vez mayores. Sobre cada imagen, lo que responde `mini`; y antes, impreso, cuántas de las veinticuatro escenas
# falla con ese ruido. Compara con lo que hizo tu `fgsm` con 4 niveles: no es el tamaño, es la dirección.


# %%
def draw_noise():
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    levels, tiles = (4, 16, 32, 64), [x[:1]]
    for level in levels:
        noisy = project_linf(x + noise, x, level / 255)
        print(f"ruido de {level:2d} niveles: mini falla {int((answers(mini, noisy) != y).sum()):2d} de {len(x)}")
        tiles.append(noisy[:1])
    tiles = torch.cat(tiles)
    names = ["original", *(f"{level} niveles" for level in levels)]
    titles = [f"{name}:\n{SHAPES[k]}" for name, k in zip(names, answers(mini, tiles), strict=True)]
    return image_grid(tiles, titles)


show(draw_noise, alt="Una escena y cuatro versiones con ruido al azar cada vez mayor, con lo que responde la red.")

# %% [markdown]
# ## Ejercicio 3 · Muchos pasos pequeños
#
# *20 minutos · dificultad 3 de 5*
#
# Un paso grande supone que la derivada apunta siempre al mismo sitio, y no es así: al moverte, cambia. **PGD** da muchos
# pasos pequeños, vuelve a derivar en cada uno y proyecta cuando se sale. Es el ataque con el que se mide casi todo.
# (Sus siglas dicen «descenso de gradiente proyectado», porque se pensó para minimizar; aquí la pérdida **sube**.)
#
# **Escribe** `pgd(model, x, y, eps, alpha, steps, random_start=True, generator=None)`.
#
# - `model`, `x`, `y`: como en `fgsm`. `eps`: el radio de la bola. `alpha`: lo que mide **cada paso**. `steps`: cuántos
#   pasos se dan, exactamente.
# - **Devuelve** las imágenes atacadas `(N, 3, H, W)`.
#
# Las reglas:
#
# 1. Con `random_start=False` se empieza en `x`, y el azar no se usa.
# 2. Con `random_start=True` se empieza en un punto al azar de la bola: a **cada valor** de cada imagen se le suma un número
#    **uniforme** entre `-eps` y `eps`, y se proyecta. El azar sale de `generator` (con la misma semilla sale lo mismo); si
#    es `None`, de la fuente global. Da igual en qué orden sortees.
# 3. En cada paso se deriva la entropía cruzada de `y` **en la imagen de ese paso** y se suma `alpha * signo`.
# 4. Después de **cada** paso se proyecta sobre la bola y [0, 1]. La bola rodea siempre a la imagen **original**.
# 5. Se devuelve la imagen del último paso, engañe o no.


# %% nbgrader={"grade": false, "grade_id": "pgd", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pgd(model, x, y, eps, alpha, steps, random_start=True, generator=None):
    """Imágenes (N, 3, H, W) tras varios pasos que suben la pérdida sin salir de la bola ni de [0, 1]."""
    ### BEGIN SOLUTION
    z = x
    if random_start:
        noise = 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device) - 1  # en [-1, 1]
        z = project_linf(x + eps * noise, x, eps)
    for _ in range(steps):
        z = z.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), y), z)
        z = project_linf(z.detach() + alpha * gradient.sign(), x, eps)
    return z
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí pgd: empieza en la bola y repite derivar, dar un paso y proyectar.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Fuera del bucle, dónde se empieza. Dentro, tres líneas: una copia de la imagen actual que pida gradiente, la derivada, y
# el paso proyectado con tu `project_linf`.
# </details>
# <details><summary>Pista 2: el comienzo</summary>
#
# `torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)` da números en [0, 1]. Hay que llevarlos a
# [−eps, eps]: multiplica por 2, resta 1 y multiplica por `eps`.
# </details>
# <details><summary>Pista 3: qué va con qué</summary>
#
# `project_linf(z + alpha * gradient.sign(), x, eps)`: el paso sale de `z`, la imagen actual; la bola rodea a `x`, la
# original. Si guardas las dos con el mismo nombre, la bola se mueve contigo.
# </details>

# %% nbgrader={"grade": true, "grade_id": "pgd-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.pgd", globals())

# %% nbgrader={"grade": true, "grade_id": "pgd-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.pgd", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Cuántas escenas sigue acertando `mini` según el tamaño del cambio, con tus dos ataques y
# con ruido del mismo tamaño. Con los mismos niveles, dar seis pasos gana a dar uno.


# %%
def draw_curves():
    levels = (0, 2, 4, 8)
    seed = torch.Generator().manual_seed(0)
    curves = {"FGSM": [], "PGD": [], "ruido": []}
    for level in levels:
        eps = level / 255
        noisy = project_linf(x + torch.randn(x.shape, generator=seed), x, eps)
        images = {"FGSM": x, "PGD": x, "ruido": noisy}
        if level:
            images["FGSM"] = fgsm(mini, x, y, eps)
            images["PGD"] = pgd(mini, x, y, eps, alpha=eps / 3, steps=6, generator=seed)
        for name, attacked in images.items():
            curves[name].append((answers(mini, attacked) == y).float().mean())
    curves = {name: torch.stack(values) for name, values in curves.items()}
    attacked = {name: curves[name] for name in ("FGSM", "PGD")}
    return accuracy_curves([level / 255 for level in levels], attacked, dict.fromkeys(attacked, curves["ruido"]))


show(draw_curves, alt="La exactitud cae al crecer el ataque, más con PGD que con FGSM; con ruido no cambia.")

# %% [markdown]
# ## Ejercicio 4 · ¿Ha servido el ataque?
#
# *10 minutos · dificultad 2 de 5*
#
# «El ataque logra que la red falle el 40 %.» ¿Y cuántas fallaba antes? Un ataque no puede apuntarse los errores que la red
# ya cometía, y tampoco se le descuentan los que arregla por casualidad.
#
# **Escribe** `attack_success_rate(model, x, x_adv, y)`.
#
# - `x`: imágenes limpias `(N, 3, H, W)`. `x_adv`: las mismas, atacadas. `y`: clases verdaderas, `LongTensor` `(N,)`.
# - **Devuelve** un número de Python (`float`) en [0, 1]: **de las imágenes que la red acertaba** limpias, qué fracción deja
#   de acertar atacadas.
# - Las que ya fallaba no cuentan, ni arriba ni abajo, pase lo que pase con ellas.
# - Si la red no acertaba ninguna, la tasa es **0**.


# %% nbgrader={"grade": false, "grade_id": "attack-success-rate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attack_success_rate(model, x, x_adv, y):
    """De las imágenes que la red acertaba, fracción que deja de acertar."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        before = model(x).argmax(dim=1) == y
        after = model(x_adv).argmax(dim=1) == y
    right = int(before.sum())
    return int((before & ~after).sum()) / right if right > 0 else 0.0
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí attack_success_rate: entre las que acertaba, cuántas deja de acertar.")


# %% [markdown]
# <details><summary>Pista 1: dos listas de aciertos</summary>
#
# Calcula dos tensores booleanos `(N,)`: qué acierta con `x` y qué acierta con `x_adv`.
# </details>
# <details><summary>Pista 2: quién cuenta</summary>
#
# Arriba, las que acertaba **y** ya no: `before & ~after`. Abajo, las que acertaba: `before`.
# </details>
# <details><summary>Pista 3: un número</summary>
#
# `.sum()` de un tensor booleano es un tensor; `int(...)` lo hace número. Antes de dividir, mira que no haya cero abajo.
# </details>

# %% nbgrader={"grade": true, "grade_id": "attack-success-rate-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.attack_success_rate", globals())

# %% nbgrader={"grade": true, "grade_id": "attack-success-rate-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.attack_success_rate", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una pregunta de verdad: ¿lo que engaña a una red engaña a otra que el atacante nunca ha
# visto? Cada fila es la red con la que se fabrica el ataque, y cada columna, aquella con la que se prueba. La diagonal es
# la **caja blanca**; lo demás, la **caja negra**. `mini-robusta` se entrenó con ataques como el tuyo.


# %%
def draw_transfer():
    names = ("mini", "mini-atajo", "mini-robusta")
    models = [load_model(name) for name in names]
    rates = []
    for model in models:
        attacked = pgd(model, x, y, eps=8 / 255, alpha=2 / 255, steps=5, generator=torch.Generator().manual_seed(0))
        rates.append([attack_success_rate(other, x, attacked, y) for other in models])
    return transfer_plot(names, torch.tensor(rates))


show(
    draw_transfer, alt="Tabla de tres por tres con la tasa de éxito de los ataques hechos a una red y probados en otra."
)

# %% [markdown]
# ## Ejercicio 5 · Que responda lo que tú quieras
#
# *15 minutos · dificultad 3 de 5*
#
# Hasta ahora bastaba con que la red fallara. Un ataque **dirigido** elige además la respuesta. El camino es el mismo, y
# cambia la brújula: en vez de alejarte de la clase verdadera, te acercas a la que has elegido.
#
# **Escribe** `targeted_pgd(model, x, target, eps, alpha, steps, random_start=True, generator=None)`.
#
# - `target`: la clase que se quiere conseguir. Un entero, la misma para todas, **o** un `LongTensor` `(N,)` con una por
#   imagen. No hay `y`: la clase verdadera no interviene.
# - Lo demás, como en `pgd`: el comienzo, los pasos, la proyección después de cada uno.
# - Se **baja** la entropía cruzada de `target`. Cuenta con todas las clases: no es lo mismo que subir un logit.
# - Se dan **todos** los pasos, también en las imágenes que ya responden `target`.


# %% nbgrader={"grade": false, "grade_id": "targeted-pgd", "locked": false, "schema_version": 3, "solution": true, "task": false}
def targeted_pgd(model, x, target, eps, alpha, steps, random_start=True, generator=None):
    """Imágenes (N, 3, H, W) tras varios pasos que bajan la pérdida de la clase pedida."""
    ### BEGIN SOLUTION
    classes = torch.as_tensor(target, device=x.device).expand(len(x))  # un entero se repite; (N,) se queda igual
    z = x
    if random_start:
        noise = 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device) - 1
        z = project_linf(x + eps * noise, x, eps)
    for _ in range(steps):
        z = z.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), classes), z)
        z = project_linf(z.detach() - alpha * gradient.sign(), x, eps)
    return z
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí targeted_pgd: como pgd, pero bajando la pérdida de la clase pedida.")


# %% [markdown]
# <details><summary>Pista 1: ¿qué cambia respecto de `pgd`?</summary>
#
# Dos cosas: la clase con la que se calcula la pérdida y un signo.
# </details>
# <details><summary>Pista 2: un entero o un tensor</summary>
#
# `F.cross_entropy` quiere una clase por imagen. `torch.as_tensor(target).expand(len(x))` repite un entero y deja como está
# un tensor `(N,)`.
# </details>
# <details><summary>Pista 3: el signo</summary>
#
# Se baja la pérdida de `target`: `z - alpha * gradient.sign()`. Si sumas, huyes de la clase que querías.
# </details>

# %% nbgrader={"grade": true, "grade_id": "targeted-pgd-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.targeted_pgd", globals())

# %% nbgrader={"grade": true, "grade_id": "targeted-pgd-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.targeted_pgd", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una misma escena, diez veces, cada una empujada hacia una clase distinta con 8 niveles como
# mucho. Encima de cada copia, lo que se le pide y la probabilidad que `mini` le da. Para tus ojos, ¿cuántas cosas
# distintas hay?


# %%
def draw_targets():
    copies = x[:1].expand(len(SHAPES), -1, -1, -1)
    wanted = torch.arange(len(SHAPES))
    attacked = targeted_pgd(mini, copies, wanted, 8 / 255, 2 / 255, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        probability = mini(attacked).softmax(dim=1)[wanted, wanted]
    print(
        "verdadera:",
        SHAPES[y[0]],
        "· responden la clase pedida:",
        int((answers(mini, attacked) == wanted).sum()),
        "de 10",
    )
    titles = [f"{name}, {100 * p:.0f} %" for name, p in zip(SHAPES, probability, strict=True)]
    return image_grid(attacked, titles, columns=5)


show(draw_targets, alt="Diez copias casi iguales de una escena, cada una con una respuesta distinta de la red.")

# %% [markdown]
# ## Ejercicio 6 · ¿Cuánto aguanta cada imagen?
#
# *25 minutos · dificultad 4 de 5*
#
# Una tasa de éxito depende del tamaño que elijas. Mejor preguntar a cada imagen: ¿cuál es el **menor** `eps` con el que
# este ataque engaña a la red? Suponemos que si un tamaño engaña, uno mayor también. Entonces basta una **bisección**: se
# prueba el punto medio de un intervalo y se descarta una de las dos mitades, hasta que el intervalo es estrecho.
#
# **Escribe** `minimal_epsilon(model, x, y, attack, low=0.0, high=0.1, tol=1e-3)`.
#
# - `attack`: una función `attack(model, x, y, eps)` que devuelve imágenes atacadas; por ejemplo, tu `fgsm`. `eps` es **un
#   número**, el mismo para todas las imágenes que le pases; puedes pasarle una o varias. Parte siempre de las originales.
#   Suele derivar por dentro: no lo llames dentro de `torch.no_grad()`.
# - `low`, `high`: dónde se busca. `tol`: la anchura a la que se para: el último intervalo mide `tol` o menos.
# - **Engañar** es que la respuesta a la imagen atacada no sea `y`.
# - **Devuelve** un tensor `(N,)`, del tipo de `x`, con un valor por imagen, en las unidades de `eps`:
#   - el **extremo superior** del último intervalo: con él, el ataque engaña; con `tol` menos, ya no (o sería menor que
#     `low`, que no se prueba: si con `low` también engaña, tu valor queda a menos de `tol` de `low`);
#   - **0** si la red ya fallaba con la imagen limpia, sea cual sea `low`;
#   - **infinito** (`math.inf` o `float("inf")`) si ni con `high` se la engaña.
# - Cada llamada al ataque cuesta. Dividir el intervalo en dos necesita unas pocas decenas por imagen aunque `tol` sea
#   diminuto; probar todos los tamaños, miles, y eso no pasa.


# %% nbgrader={"grade": false, "grade_id": "minimal-epsilon", "locked": false, "schema_version": 3, "solution": true, "task": false}
def minimal_epsilon(model, x, y, attack, low=0.0, high=0.1, tol=1e-3):
    """El menor eps que engaña a la red en cada imagen, (N,): 0 si ya fallaba, infinito si no se consigue."""

    ### BEGIN SOLUTION
    def fooled(images, labels):
        with torch.no_grad():
            return bool(model(images).argmax(dim=1) != labels)

    result = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for n in range(len(x)):
        image, label = x[n : n + 1], y[n : n + 1]
        if fooled(image, label):
            continue  # se queda en 0
        if not fooled(attack(model, image, label, high), label):
            result[n] = float("inf")
            continue
        bottom, top = low, high
        while top - bottom > tol:
            middle = (bottom + top) / 2
            if fooled(attack(model, image, label, middle), label):
                top = middle
            else:
                bottom = middle
        result[n] = top
    return result
    ### END SOLUTION
    raise NotImplementedError(
        "Escribe aquí minimal_epsilon: por imagen, mira los dos casos extremos y divide el intervalo."
    )


# %% [markdown]
# <details><summary>Pista 1: primero los casos extremos</summary>
#
# Un bucle sobre las imágenes, `x[n : n + 1]` e `y[n : n + 1]`. Antes de dividir nada, mira si ya fallaba (0) y si `high`
# no basta (infinito).
# </details>
# <details><summary>Pista 2: la bisección</summary>
#
# Guarda dos números por imagen. Mientras su distancia sea mayor que `tol`, prueba el punto medio: si engaña, el umbral
# está por debajo; si no, por encima.
# </details>
# <details><summary>Pista 3: tres descuidos</summary>
#
# El ataque parte siempre de la imagen original, no de la del intento anterior. Se devuelve el extremo de arriba, el que
# sabes que engaña. Y el ataque deriva: `torch.no_grad()` puede rodear a `model(...)`, pero no a `attack(...)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "minimal-epsilon-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("adversarial.minimal_epsilon", globals())

# %% nbgrader={"grade": true, "grade_id": "minimal-epsilon-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("adversarial.minimal_epsilon", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una medida de resistencia por imagen. De doce escenas, las cuatro que menos aguantan y las
# cuatro que más, en niveles de 255, con `mini` y tu `fgsm`. Impresa, la mediana de `mini` junto a la de `mini-robusta`: lo
# que cambia entrenar con ataques.


# %%
def in_spanish(value):
    return f"{value:.1f}".replace(".", ",")


def draw_minimal():
    few, labels, robust = x[:12], y[:12], load_model("mini-robusta")
    search = {"high": 64 / 255, "tol": 0.5 / 255}
    levels = 255 * minimal_epsilon(mini, few, labels, fgsm, **search)
    robust_levels = 255 * minimal_epsilon(robust, few, labels, fgsm, **search)
    for name, values in (("mini", levels), ("mini-robusta", robust_levels)):
        print(f"mediana de {name}: {in_spanish(values.median())} niveles")
    order = levels.argsort()
    chosen = torch.cat([order[:4], order[-4:]])
    return image_grid(few[chosen], [f"{in_spanish(level)} niveles" for level in levels[chosen]], columns=4)


show(draw_minimal, alt="Las cuatro escenas que menos aguantan y las cuatro que más, con sus niveles.")

# %% [markdown]
# ## Para pensar
#
# Inés ya sabe fabricar el correo que recibió. Antes de sacar conclusiones, responde en unas líneas: **¿qué *no* demuestra
# un ejemplo adversario?** Piensa, por ejemplo, en lo que pasó con el ruido al azar, o en una red a la que tu ataque no
# consigue engañar: ¿puedes decir que es segura?
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Un ejemplo adversario no demuestra que la red falle con las imperfecciones de cada día: con ruido al azar de 32
# niveles, ocho veces más que el primer ataque, `mini` no falla ninguna de las veinticuatro escenas. Demuestra que
# existe una dirección mala, y hubo que buscarla con los pesos delante. Tampoco demuestra que la red no haya aprendido
# nada útil, ni *qué* miraba: dice dónde está cerca la frontera, no por qué está ahí. No demuestra que otra red falle
# con la misma imagen: hay que probarlo, como en la tabla de transferencia. Y lo contrario engaña aún más: que *este*
# ataque fracase no demuestra que la red sea segura. El `eps` que encuentras es solo una cota superior de lo que hace
# falta; otro ataque, con más pasos, otra norma u otro comienzo, puede encontrar menos. Un gradiente que se anula
# detiene a FGSM sin hacer fuerte a nadie.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | separa el peor caso del caso corriente con la prueba del ruido, y explica por qué un ataque que fracasa no prueba seguridad (cota superior, otro ataque); da otro límite con su porqué |
# | bien | da dos límites ciertos (ruido corriente, qué mira la red, otras redes, seguridad) sin explicarlos del todo |
# | insuficiente | dice solo que «la red no es fiable», o toma un ataque fallido por prueba de que la red es segura |

# %% [markdown]
# **Para seguir.** El capítulo 10 del libro continúa por aquí: la norma L2 y el camino más corto hasta la frontera, los
# parches que se pueden imprimir y pegar, y qué cambia dentro de una red entrenada contra sus propios ataques.
