# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 05 · t-SNE
#
# Nuria cuida el archivo de un museo: miles de fotografías de azulejos en cajas, casi todas sin ficha. Una red las ha
# descrito una a una, con 128 números por fotografía, pero a Nuria los números no le dicen nada. Quiere verlas todas de
# un golpe, extendidas sobre una mesa, con las parecidas cerca.
#
# Un compañero le trae un mapa hecho con t-SNE. Es precioso: islas, penínsulas, un grupito apartado en una esquina.
# «Mira, este grupo es otro taller», dice, y señala con el dedo. «Y estos dos estilos no tienen nada que ver, ¿ves lo
# lejos que están?» Nuria quiere creerle. Antes pregunta: ¿qué es lo que dibuja esto, exactamente?
#
# En este cuaderno se lo respondes de la única manera segura: escribiendo **t-SNE** entero, pieza a pieza.
#
# **Al terminar sabrás**
#
# - medir las distancias entre puntos sin que el redondeo te engañe;
# - decir qué es la perplejidad y darle a cada punto la suya;
# - escribir la divergencia que t-SNE minimiza, su gradiente y el descenso;
# - comprobar si un mapa conserva los vecinos, y qué *no* se puede leer en él.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `squared_distances` | 8 | 2 de 5 | 3 de 5 |
# | 2 | `conditional_probabilities` | 25 | 4 de 5 | 5 de 5 |
# | 3 | `joint_probabilities` | 5 | 1 de 5 | 3 de 5 |
# | 4 | `student_affinities` | 10 | 2 de 5 | 4 de 5 |
# | 5 | `kl_gradient` | 15 | 4 de 5 | 4 de 5 |
# | 6 | `tsne` | 25 | 4 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** Los puntos son las filas de una matriz `(N, D)`: N puntos, D números cada uno. Las
# matrices de parejas son `(N, N)`: en la fila i y la columna j está lo que va de i a j. Los resultados se quedan en el
# dispositivo y el tipo de lo que llega, y lo que llega no se modifica. Por dentro puedes calcular en float64. Cualquier
# manera correcta de escribirlo vale; lo único que no puedes hacer es llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import torch
from matplotlib import pyplot as plt

from convlab.data.formas import SHAPES, formas
from convlab.embedding import cluster_spread, knn_purity, misreading_size, pca, trustworthiness
from convlab.exercises import grade, show
from convlab.hooks import capture
from convlab.models import load_model
from convlab.plots import COLORS, STYLE, colorize, image_grid
from convlab.plots.embedding import perplexity_grid

scenes = formas(200, seed=5)  # doscientas fotografías de nuestro archivo: 20 de cada forma
images, shape = scenes.tensor(), torch.from_numpy(scenes.shape)
maps = capture(load_model("mini"), images, ["block1", "block5"])
features = maps["block5"].mean((2, 3))  # 128 números por fotografía: la media de cada canal de la última capa

# %% [markdown]
# ## Un ejemplo resuelto: contar caras y acertar un número
#
# Dos herramientas te harán falta. La primera es la **perplejidad** de un reparto de probabilidades: cuántas opciones
# hay *de verdad* en juego. Es 2 elevado a la entropía en bits; o, lo mismo, e elevado a la entropía en nats (la que se
# calcula con el logaritmo natural). Un dado justo tiene perplejidad 6. Si está cargado, tiene seis caras y menos de
# seis opciones.
#
# La segunda es la **bisección**: acertar un número preguntando «¿más alto o más bajo?». Aquí busca el exponente que hace
# que un dado cargado tenga la perplejidad que queremos. Lo hace con tres dados a la vez: `torch.where` decide por cada
# uno qué extremo se mueve.


# %%
def perplexity_of(p):
    return torch.special.entr(p).sum(-1).exp()  # entr es −p·log(p), y vale 0 donde p es 0


fair, loaded = torch.full((6,), 1 / 6), torch.tensor([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
print(f"dado justo: {perplexity_of(fair):.2f} · cargado: {perplexity_of(loaded):.2f}")
print(f"en bits: {2 ** -(loaded * loaded.log2()).sum():.2f}, lo mismo")

goals = torch.tensor([[2.0], [3.0], [5.0]])  # un dado por fila, con la perplejidad que le pedimos
low, high = torch.zeros(3, 1), torch.full((3, 1), 50.0)
for _ in range(40):
    middle = (low + high) / 2
    dice = loaded**middle / (loaded**middle).sum(1, keepdim=True)  # cuanto mayor el exponente, más cargado
    too_even = perplexity_of(dice)[:, None] > goals
    low, high = torch.where(too_even, middle, low), torch.where(too_even, high, middle)
print("exponentes:", [round(v, 3) for v in middle.flatten().tolist()])
print("perplejidades:", [round(v, 3) for v in perplexity_of(dice).tolist()])

# %% [markdown]
# ## Ejercicio 1 · ¿Quién está cerca de quién?
#
# *8 minutos · dificultad 2 de 5*
#
# Todo empieza por las distancias: un número por cada pareja de fotografías. t-SNE usa sus **cuadrados**, así que no
# hace falta ninguna raíz.
#
# **Escribe** `squared_distances(x)`.
#
# - `x`: puntos `(N, D)`, de coma flotante. N y D son cualesquiera, desde 1.
# - **Devuelve** `(N, N)`: en la casilla (i, j), la suma sobre las coordenadas de `(x[i] - x[j])²`.
# - Es simétrica, la diagonal es cero y **ninguna distancia es negativa**, ni por un error de redondeo.
# - Vale también para puntos lejos del origen, como unas coordenadas en millones que solo se diferencian en unidades.
#
# Una trampa clásica: la fórmula desarrollada, ‖a‖² + ‖b‖² − 2 a · b, es rápida y resta números grandes casi iguales.
# Puedes usarla, pero con cuidado.


# %% nbgrader={"grade": false, "grade_id": "squared-distances", "locked": false, "schema_version": 3, "solution": true, "task": false}
def squared_distances(x):
    """Distancias euclídeas al cuadrado entre todos los pares: (N, D) → (N, N)."""
    ### BEGIN SOLUTION
    return (x[:, None, :] - x[None, :, :]).square().sum(dim=2)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí squared_distances: una distancia al cuadrado por par, (N, N).")


# %% [markdown]
# <details><summary>Pista 1: todas las parejas sin bucles</summary>
#
# `x[:, None, :]` tiene forma `(N, 1, D)` y `x[None, :, :]`, `(1, N, D)`. Al restarlas, PyTorch las repite hasta
# `(N, N, D)`: una diferencia por pareja y coordenada.
# </details>
# <details><summary>Pista 2: ¿qué eje desaparece?</summary>
#
# Queda elevar al cuadrado y sumar las coordenadas, que son el eje 2.
# </details>
# <details><summary>Pista 3: si prefieres la fórmula desarrollada</summary>
#
# Resta antes la media, `x - x.mean(0)`: las distancias no cambian y los números dejan de ser enormes. Trabaja en
# float64, acaba con `clamp(min=0)` y vuelve al tipo de `x`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "squared-distances-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("embedding.squared_distances", globals())

# %% nbgrader={"grade": true, "grade_id": "squared-distances-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.squared_distances", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Tus distancias entre cien escenas, ordenadas por forma: oscuro es cerca, y cada cuadrado
# de la diagonal es una forma. ¿Dónde se ven los cuadrados: en los píxeles, en la primera capa o en la última?


# %%
def draw_distances():
    order = shape[:100].argsort(stable=True)
    layers = {"píxeles": images, "primera capa": maps["block1"].mean((2, 3)), "última capa": features}
    tiles = []
    for values in layers.values():
        distance = squared_distances(values[order].flatten(1)).sqrt()
        tiles.append(colorize(distance / distance.max()))
    return image_grid(torch.stack(tiles), list(layers), size=2.6)


show(draw_distances, alt="Tres matrices de distancias; solo en la última capa se ven cuadrados oscuros en la diagonal.")

# %% [markdown]
# ## Ejercicio 2 · Vecinos con la perplejidad pedida
#
# *25 minutos · dificultad 4 de 5*
#
# ¿Cuándo es cerca? En el centro de una ciudad, a cien metros; en el campo, a un kilómetro. t-SNE deja que cada punto
# use su propia vara: cada uno reparte su atención entre los demás con una gaussiana, y su anchura se ajusta para que
# todos tengan el mismo número *efectivo* de vecinos. Ese número es la **perplejidad**, y lo eliges tú.
#
# **Escribe** `conditional_probabilities(d2, perplexity)`.
#
# - `d2`: distancias al cuadrado `(N, N)`, con la diagonal a cero. `perplexity`: un número mayor que 1 y menor que
#   N − 1, entero o no.
# - **Devuelve** `(N, N)`: en la fila i, la probabilidad p(j | i) de que i elija a j como vecino.
#
# Las reglas:
#
# 1. En la fila i, p(j | i) es proporcional a `exp(-beta_i * d2[i, j])`. Cada fila suma 1.
# 2. Nadie es vecino de sí mismo: la **diagonal es cero**, y tampoco cuenta al normalizar ni en la entropía.
# 3. `beta_i` (que es 1 / 2σ²) es **distinta en cada fila**: la que da a esa fila la perplejidad pedida. La perplejidad
#    es 2 elevado a la entropía en bits, que es e elevado a la entropía en nats; no mezcles los dos logaritmos.
# 4. Basta con que el logaritmo natural de la perplejidad quede a menos de una cienmilésima (1e-5) del pedido.
# 5. Los datos pueden ser de cualquier escala, con `d2` de 1e-8 o de 1e8, y puede haber un punto muy aislado.
# 6. Si los vecinos más próximos de un punto están empatados y son más que la perplejidad, ninguna beta llega. Entonces
#    se reparten la fila por igual, que es lo que pasa con una beta muy grande.
#
# Un bucle por filas está bien: son pocas.


# %% nbgrader={"grade": false, "grade_id": "conditional-probabilities", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conditional_probabilities(d2, perplexity):
    """Probabilidad (N, N) de que i elija a j como vecino, con la perplejidad pedida en cada fila."""
    ### BEGIN SOLUTION
    n = len(d2)
    diagonal = torch.eye(n, dtype=torch.bool, device=d2.device)
    d = d2.double().masked_fill(diagonal, torch.inf)
    low, high = d.new_full((n, 1), -60.0), d.new_full((n, 1), 100.0)  # log2 de beta: sirve para cualquier escala
    for _ in range(80):
        middle = (low + high) / 2
        p = torch.softmax(-(2**middle) * d, dim=1)  # resta ella sola lo que haga falta: la suma nunca es cero
        entropy = torch.special.entr(p).sum(dim=1, keepdim=True)
        too_many = entropy > math.log(perplexity)
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    return p.to(d2.dtype)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí conditional_probabilities: una beta por fila, sin la diagonal.")


# %% [markdown]
# <details><summary>Pista 1: la bisección de una fila</summary>
#
# Con beta muy pequeña todos los vecinos pesan igual: la entropía es la mayor posible. Al crecer beta, la fila se
# concentra y la entropía baja. Así que, si la entropía es mayor que `math.log(perplexity)`, falta beta; si es menor, sobra.
# </details>
# <details><summary>Pista 2: la diagonal y los puntos aislados</summary>
#
# Pon infinito en la diagonal, `d2.masked_fill(diagonal, torch.inf)`: su exponencial es cero y desaparece de todo. Y
# resta a cada fila su menor distancia; numerador y denominador cambian en el mismo factor, así que p es la misma, pero
# ya no puede ser todo ceros. `torch.softmax` hace esa resta por su cuenta.
# </details>
# <details><summary>Pista 3: cualquier escala</summary>
#
# Busca el logaritmo de beta en vez de beta, entre −60 y 100 por ejemplo, y usa `2**middle`. `torch.softmax(-beta * d,
# dim=1)` hace la exponencial y la normalización juntas, y `torch.special.entr(p)` es −p · log(p) sin problemas con los
# ceros.
# </details>

# %% nbgrader={"grade": true, "grade_id": "conditional-probabilities-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("embedding.conditional_probabilities", globals())

# %% nbgrader={"grade": true, "grade_id": "conditional-probabilities-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.conditional_probabilities", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Dos escenas, a la izquierda, y los seis vecinos a los que tu función da más
# probabilidad, entre doscientas y con perplejidad 10. ¿Se parecen en la forma, en el color o en el fondo?


# %%
def draw_neighbors():
    p = conditional_probabilities(squared_distances(features), 10)
    tiles, titles = [], []
    for chosen in (0, 5):
        best = p[chosen].topk(6)
        tiles += [images[chosen], *images[best.indices]]
        titles += [SHAPES[shape[chosen]], *(f"{100 * value:.0f} %" for value in best.values.tolist())]
    return image_grid(torch.stack(tiles), titles, columns=7)


show(draw_neighbors, alt="Dos escenas y, junto a cada una, sus seis vecinos más probables con su probabilidad.")

# %% [markdown]
# ## Ejercicio 3 · Una afinidad por pareja
#
# *5 minutos · dificultad 1 de 5*
#
# Elegir no es siempre mutuo. Una fotografía rara elige vecinos, claro, pero puede que nadie la elija a ella. Para el
# mapa hace falta un solo número por pareja, igual en los dos sentidos, y que nadie se quede fuera.
#
# **Escribe** `joint_probabilities(p)`.
#
# - `p`: condicionales `(N, N)`; cada fila suma 1 y la diagonal es cero.
# - **Devuelve** `(N, N)`: la **media** de los dos sentidos, p(j | i) y p(i | j), dividida por N.
# - Es simétrica, y la **matriz entera** suma 1 (cada pareja está en dos casillas y las dos cuentan).


# %% nbgrader={"grade": false, "grade_id": "joint-probabilities", "locked": false, "schema_version": 3, "solution": true, "task": false}
def joint_probabilities(p):
    """Afinidades simétricas (N, N) que suman 1 entre todas las parejas."""
    ### BEGIN SOLUTION
    return (p + p.T) / (2 * len(p))
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí joint_probabilities: la media de los dos sentidos, dividida por N.")


# %% [markdown]
# <details><summary>Pista 1: el otro sentido</summary>
#
# `p.T` es la traspuesta: en su casilla (i, j) está p(i | j).
# </details>
# <details><summary>Pista 2: ¿por qué dividir por N?</summary>
#
# Cada fila suma 1 y hay N filas, así que la matriz suma N. Ahora debe sumar 1.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# La suma de `p` y su traspuesta, dividida por 2N. `len(p)` es N.
# </details>

# %% nbgrader={"grade": true, "grade_id": "joint-probabilities-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("embedding.joint_probabilities", globals())

# %% nbgrader={"grade": true, "grade_id": "joint-probabilities-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.joint_probabilities", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La suma de una fila, multiplicada por N, dice cuánto cuenta esa escena en el mapa; de
# media, 1. Arriba, las cinco menos elegidas; abajo, las cinco más. Ninguna baja de 0,5, porque media parte se la da ella
# misma: es lo que salva del olvido a las fotografías raras.


# %%
def draw_popularity():
    joint = joint_probabilities(conditional_probabilities(squared_distances(features), 10))
    popularity = len(joint) * joint.sum(dim=1)
    order = popularity.argsort()
    chosen = torch.cat([order[:5], order[-5:]])
    titles = [f"{SHAPES[shape[i]]}: {popularity[i]:.2f}".replace(".", ",") for i in chosen]
    return image_grid(images[chosen], titles, columns=5)


show(draw_popularity, alt="Diez escenas: arriba las cinco menos elegidas como vecinas, abajo las cinco más elegidas.")

# %% [markdown]
# ## Ejercicio 4 · Las afinidades del mapa
#
# *10 minutos · dificultad 2 de 5*
#
# En el mapa también se reparte cercanía, pero con otra vara: la t de Student en lugar de la gaussiana. Un plano tiene
# mucho menos sitio que 128 dimensiones, y no cabe todo lo que estaba «a media distancia». La t de Student decae más
# despacio: permite que lo que no es vecino se vaya lejos sin que cueste casi nada.
#
# **Escribe** `student_affinities(y)`.
#
# - `y`: el mapa, `(N, 2)`, con N desde 2.
# - **Devuelve** una tupla `(q, w)`, **en ese orden**, de dos matrices `(N, N)`:
#   - `w`, el núcleo: `1 / (1 + d²)`, con d la distancia entre i y j en el mapa. Su **diagonal es cero**.
#   - `q`: `w` dividida por su **suma entera**. Toda la matriz suma 1, no cada fila.
#
# Aquí no hay perplejidad ni anchura que buscar: la vara es la misma para todos.


# %% nbgrader={"grade": false, "grade_id": "student-affinities", "locked": false, "schema_version": 3, "solution": true, "task": false}
def student_affinities(y):
    """Afinidades del mapa: (q, w), con w el núcleo de Student y q = w / w.sum()."""
    ### BEGIN SOLUTION
    w = 1 / (1 + squared_distances(y))
    w = w.fill_diagonal_(0)  # w es nueva: no se toca nada de quien llama
    return w / w.sum(), w
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí student_affinities: el núcleo sin diagonal, y devuelve (q, w).")


# %% [markdown]
# <details><summary>Pista 1: ¿de dónde salen las d²?</summary>
#
# De tu `squared_distances`: el mapa también es una matriz de puntos, con D = 2.
# </details>
# <details><summary>Pista 2: la diagonal</summary>
#
# Un punto dista 0 de sí mismo, y el núcleo daría 1. `w.fill_diagonal_(0)` lo pone a cero, **antes** de sumar.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `w = 1 / (1 + squared_distances(y))`, la diagonal a cero, y `return w / w.sum(), w`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "student-affinities-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("embedding.student_affinities", globals())

# %% nbgrader={"grade": true, "grade_id": "student-affinities-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.student_affinities", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Tu núcleo, junto a la gaussiana. A distancia 3 el tuyo aún vale 0,1; la gaussiana,
# poco más de una diezmilésima. Esa cola es la «t» de t-SNE, de 2008, y lo que le faltaba a su antecesor, SNE, de 2002.


# %%
def draw_kernel():
    distance = torch.linspace(0.01, 4, 100)
    w = [student_affinities(torch.tensor([[0.0, 0.0], [d, 0.0]]))[1][0, 1] for d in distance.tolist()]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 2.8), layout="constrained")
        axis.plot(distance, w, color=COLORS[0], label="t de Student (tu w)")
        axis.plot(distance, (-distance.square()).exp(), color=COLORS[1], linestyle="--", label="gaussiana")
        axis.set(xlabel="distancia en el mapa", ylabel="núcleo", ylim=(0, None))
        axis.legend(frameon=False)
        plt.close(figure)
    return figure


show(
    draw_kernel,
    alt="Dos curvas que bajan con la distancia: la de Student conserva una cola y la gaussiana llega a cero.",
)

# %% [markdown]
# ## Ejercicio 5 · Hacia dónde mover cada punto
#
# *15 minutos · dificultad 4 de 5*
#
# Ya hay dos repartos: p, el de los datos, y q, el del mapa. t-SNE mueve los puntos para que q se parezca a p, y mide lo
# que falta con la divergencia KL, la suma de p · log(p / q). Su gradiente tiene una forma muy bonita: cada pareja es un
# muelle. Si p > q, los dos puntos están más lejos en el mapa de lo que deberían, y se atraen; si p < q, se repelen.
#
# **Escribe** `kl_gradient(p, q, w, y)`.
#
# - `p`: afinidades de los datos `(N, N)`, simétricas, con la diagonal a cero. `q`, `w`: las del mapa, como las da
#   `student_affinities(y)`. `y`: el mapa `(N, 2)`.
# - **Devuelve** `(N, 2)`. En la fila i:
#
#       4 · suma sobre j de (p_ij − q_ij) · w_ij · (y_i − y_j)
#
# - Es el **gradiente**, que apunta hacia donde la divergencia *sube*. El signo menos lo pondrá quien descienda.
# - Usa la fórmula con `p` **tal como llega**, aunque no sume 1: en el ejercicio 6 llegará multiplicada por 12, y entonces
#   derivar la divergencia con `autograd` ya no da lo mismo.
# - Sin bucles sobre parejas, si puedes: se llamará cientos de veces.


# %% nbgrader={"grade": false, "grade_id": "kl-gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_gradient(p, q, w, y):
    """Gradiente (N, 2) de la divergencia KL respecto del mapa."""
    ### BEGIN SOLUTION
    force = (p - q) * w
    return 4 * (force[:, :, None] * (y[:, None, :] - y[None, :, :])).sum(dim=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí kl_gradient: 4 · suma sobre j de (p − q) · w · (y_i − y_j).")


# %% [markdown]
# <details><summary>Pista 1: las diferencias</summary>
#
# `y[:, None, :] - y[None, :, :]` tiene forma `(N, N, 2)`: en (i, j) está el vector y_i − y_j, que va de j a i.
# </details>
# <details><summary>Pista 2: la fuerza de cada pareja</summary>
#
# `(p - q) * w` es `(N, N)`, un número por pareja. Para multiplicarlo por su vector le falta un eje al final:
# `[:, :, None]`.
# </details>
# <details><summary>Pista 3: ¿qué eje se suma?</summary>
#
# El de j, que es el 1. No te olvides del 4.
# </details>

# %% nbgrader={"grade": true, "grade_id": "kl-gradient-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("embedding.kl_gradient", globals())

# %% nbgrader={"grade": true, "grade_id": "kl-gradient-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.kl_gradient", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Sesenta escenas de tres formas, colocadas con sus dos primeras componentes principales.
# Las flechas son tu gradiente cambiado de signo: hacia dónde quiere ir cada una en el primer paso.


# %%
def draw_forces():
    chosen = (shape < 3).nonzero()[:60, 0]
    x, names = features[chosen].double(), shape[chosen]
    p = joint_probabilities(conditional_probabilities(squared_distances(x), 10))
    y = pca(x, 2).scores
    y = 3 * y / y.std()
    move = -kl_gradient(p, *student_affinities(y), y)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6, 4.2), layout="constrained")
        for k, marker in enumerate("os^"):
            points, arrows = y[names == k].T, move[names == k].T
            axis.scatter(*points, s=22, marker=marker, color=COLORS[k], label=SHAPES[k])
            axis.quiver(*points, *arrows, color=COLORS[k], width=0.003)
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.margins(0.12)
        figure.legend(loc="outside right upper", frameon=False)
        plt.close(figure)
    return figure


show(draw_forces, alt="Puntos de tres formas y una flecha en cada uno con el sentido en que lo mueve t-SNE.")

# %% [markdown]
# ## Ejercicio 6 · t-SNE, de principio a fin
#
# *25 minutos · dificultad 4 de 5*
#
# Tienes todas las piezas. Falta echar a andar: sortear un mapa diminuto y dejar que cada punto ruede cuesta abajo. Con
# un truco: en el primer cuarto de los pasos las afinidades p se **exageran**, multiplicadas por 12, para que los vecinos
# se encuentren mientras el mapa es pequeño y nadie estorba. Después, la p de verdad.
#
# **Escribe** `tsne(x, perplexity, steps, generator)`.
#
# - `x`: puntos `(N, D)`. `perplexity`: como en el ejercicio 2. `steps`: cuántos pasos, desde 1. `generator`: un
#   `torch.Generator`, de donde sale **todo** el azar.
# - **Devuelve** el mapa `(N, 2)`, del tipo de `x`.
#
# La receta (otra que llegue igual de bien también vale):
#
# 1. p: distancias → condicionales → conjuntas.
# 2. Mapa inicial: una nube gaussiana de desviación típica 1e-4, `1e-4 * torch.randn(N, 2, generator=generator)`, del
#    tipo de `x`.
# 3. En cada paso: q y w del mapa **actual**, el gradiente, y `velocidad = impulso * velocidad - tasa * gradiente`. El
#    mapa avanza una velocidad. La tasa es `max(N / 12, 10)`.
# 4. En los primeros `steps // 4` pasos, p va multiplicada por 12 y el impulso es 0,5. Después, la p de verdad e impulso
#    0,8.
# 5. Al acabar se centra: el mapa tiene **media nula**.
#
# Como hay azar, no se compara tu mapa con otro: se mide. Con 75 puntos en tres grupos, perplejidad 20 y 400 pasos:
#
# - la **fiabilidad** (qué parte de los vecinos del mapa lo son en los datos; 1 es lo mejor) debe llegar a 0,975. La de
#   scikit-learn en esos datos es 0,996 o más, y se te da un margen de 0,02;
# - la divergencia KL entre la p de verdad y tu q debe quedar por debajo de 0,08 nats;
# - la misma semilla da el mismo mapa; otra semilla, otro; otra perplejidad, también otro;
# - se empieza diminuto y se dan los pasos que se piden: tras uno solo, la desviación típica del mapa no llega a 0,05;
# - la media es nula hasta una diezmilésima de la desviación típica, también con muy pocos pasos.
#
# Cada caso tiene diez segundos. Con bucles de Python sobre las parejas no llegarás.


# %% nbgrader={"grade": false, "grade_id": "tsne", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tsne(x, perplexity, steps, generator):
    """Mapa (N, 2) de t-SNE, de media nula."""
    ### BEGIN SOLUTION
    p = joint_probabilities(conditional_probabilities(squared_distances(x), perplexity))
    y = 1e-4 * torch.randn(len(x), 2, generator=generator, dtype=x.dtype)
    velocity = torch.zeros_like(y)
    rate = max(len(x) / 12, 10)
    for step in range(steps):
        early = step < steps // 4
        q, w = student_affinities(y)
        gradient = kl_gradient(12 * p if early else p, q, w, y)
        velocity = (0.5 if early else 0.8) * velocity - rate * gradient
        y = y + velocity
    return y - y.mean(dim=0)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí tsne: p, mapa inicial, descenso con impulso y exageración, y centrar.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Antes del bucle: p, el mapa inicial y una velocidad de ceros, `torch.zeros_like(y)`. Dentro: cuatro líneas. Después:
# `return y - y.mean(dim=0)`, fuera del bucle.
# </details>
# <details><summary>Pista 2: las dos etapas</summary>
#
# `early = step < steps // 4` dice en cuál estás. No cambies `p`: pasa `12 * p` o `p` al gradiente según la etapa. Si
# escribieras `p *= 12` dentro del bucle, se multiplicaría en todas las vueltas.
# </details>
# <details><summary>Pista 3: el descenso</summary>
#
# `q, w = student_affinities(y)` va dentro del bucle, porque el mapa cambia. La velocidad **resta** el gradiente y el mapa
# **suma** la velocidad: `y = y + velocity`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "tsne-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("embedding.tsne", globals())

# %% nbgrader={"grade": true, "grade_id": "tsne-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("embedding.tsne", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El archivo entero sobre la mesa, con tu código: doscientas escenas según la última capa
# de `mini`. Mira también los números. La pureza es la parte de los diez vecinos más próximos que son de la misma forma, y
# en el mapa sale *mayor* que en los datos: un mapa puede exagerar los grupos. Al final, otra advertencia: dos nubes de
# puntos, la segunda diez veces más dispersa que la primera, pasadas por tu función.


# %%
def draw_maps():
    maps = {k: tsne(features, k, 500, torch.Generator().manual_seed(0)) for k in (5, 30)}
    purity, chance = knn_purity(features, shape)
    print(f"en los datos: pureza {purity:.2f} (al azar, {chance:.2f})")
    for k, y in maps.items():
        print(
            f"perplejidad {k:2}: pureza {knn_purity(y, shape).purity:.2f}, fiabilidad {trustworthiness(features, y):.2f}"
        )
    clouds, group = misreading_size(40, generator=torch.Generator().manual_seed(0))
    sizes = [cluster_spread(v, group) for v in (clouds, tsne(clouds, 20, 500, torch.Generator().manual_seed(1)))]
    ratios = [float(s[1] / s[0]) for s in sizes]
    print(f"la segunda nube es {ratios[0]:.1f} veces mayor en los datos y {ratios[1]:.1f} en el mapa")
    return perplexity_grid(maps, shape, SHAPES)


show(draw_maps, alt="Dos mapas de doscientas escenas, con perplejidad 5 y 30, y una marca por forma.")

# %% [markdown]
# ## Para pensar
#
# Vuelve con Nuria. Su compañero señala el grupito de la esquina y las dos islas que están tan lejos. Responde en unas
# líneas: **¿qué *no* demuestra un mapa de t-SNE?** Piensa en lo que la divergencia castiga y en lo que no, y en cómo
# comprobarías lo que el mapa parece decir.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Un mapa de t-SNE no demuestra que dos grupos lejanos sean muy distintos ni que dos próximos se parezcan: la divergencia
# casi no castiga equivocarse con las parejas lejanas, y la distancia entre islas depende del sorteo y de los pasos.
# Tampoco dice qué grupo es más variado, porque cada punto ajusta su vara y las nubes salen de tamaño parecido aunque una
# sea diez veces más dispersa. Ni siquiera demuestra que haya grupos: con perplejidad baja, una sola nube se dibuja en
# grumos. Los ejes y el sentido no significan nada. Y que las clases salgan separadas no prueba que la red las «entienda»:
# puede haber agrupado por el fondo o por una marca. Se comprueba en los datos y no en el dibujo: distancias y pureza en
# el espacio original, fiabilidad del mapa, varias semillas y perplejidades, y un control sin grupos.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | da dos límites con su porqué (qué castiga la divergencia, la vara de cada punto) y cómo comprobarlos en los datos |
# | bien | da dos límites ciertos (distancias, tamaños, grupos falsos, ejes, qué significa separar) sin explicarlos del todo |
# | insuficiente | dice solo que «pierde información», o toma islas, tamaños o distancias por propiedades de los datos |

# %% [markdown]
# **Para seguir.** El capítulo 05 del libro pone a prueba lo que se lee en estos mapas —tamaños, distancias y grupos— con
# datos cuya verdad se conoce, y compara los mapas de la red desde que no sabe nada hasta que termina de entrenarse.
