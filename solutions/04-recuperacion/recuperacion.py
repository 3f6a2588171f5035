# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 04 · Recuperación de imágenes
#
# Rosario tiene una mercería con tres generaciones de botones en cajones. De vez en cuando entra alguien con un abrigo al
# que le falta uno y le enseña otro: «¿Tendría uno como este?» Rosario los ha fotografiado todos y querría que se lo
# buscara el ordenador.
#
# Hay un problema que ella resuelve sin pensar: ¿qué es «como este»? A veces importa que sea redondo; otras, que tenga
# el mismo dibujo. Una red neuronal también contesta a esa pregunta, y no contesta lo mismo en todas sus capas.
#
# En este cuaderno escribes el buscador entero, desde la salida de una capa hasta la nota que merece, y averiguas qué
# entiende por parecido cada capa de una red.
#
# **Al terminar sabrás**
#
# - convertir la salida de una capa en una **incrustación** (*embedding*): unos números que describen una imagen;
# - comparar imágenes por la dirección de sus vectores y encontrar las **vecinas más próximas**;
# - poner nota a una lista ordenada, y a un buscador entero, sin regalarle aciertos;
# - decir qué considera parecido cada capa, con una medida y no con tres ejemplos bonitos.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `embed` | 8 | 1 de 5 | 4 de 5 |
# | 2 | `cosine_similarity` | 8 | 2 de 5 | 4 de 5 |
# | 3 | `top_k` | 15 | 3 de 5 | 4 de 5 |
# | 4 | `average_precision` | 15 | 3 de 5 | 5 de 5 |
# | 5 | `mean_average_precision` | 25 | 4 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** Los vectores son las filas de una matriz. Las similitudes van en una matriz `(Q, D)`: una
# fila por consulta y una columna por imagen de la base en la que se busca; **cuanto mayor, más parecido**. Los
# tensores que devuelves se quedan en el dispositivo y el tipo de lo que llega, y lo que llega no se modifica. Cualquier
# manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es llamar a la función de
# `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import torch
from matplotlib import pyplot as plt

from convlab.data.formas import SHAPES, TEXTURES, formas
from convlab.exercises import grade, show
from convlab.hooks import capture
from convlab.models import load_model
from convlab.plots import STYLE
from convlab.plots.retrieval import neighbors_grid, precision_by_layer_plot

LAYERS = ["block1", "block2", "block3", "block4", "block5"]  # de la entrada a la salida
scenes = formas(200, seed=4)  # la base: doscientas escenas, veinte de cada forma
images = scenes.tensor()
shape, texture = torch.from_numpy(scenes.shape), torch.from_numpy(scenes.texture)
maps = capture(load_model("mini"), images, LAYERS)  # de cada capa, su salida: (200, C, H, W)
own = torch.arange(len(images))  # la columna de cada imagen en la base

# %% [markdown]
# ## Un ejemplo resuelto: ordenar, y arrastrar lo demás
#
# Buscar es ordenar. Aquí se ordenan cuatro cajones de botones por su puntuación, en dos búsquedas a la vez, con tres
# herramientas que te harán falta: `argsort` dice **dónde** está cada puesto, con ese índice se reordena cualquier otra
# cosa, y `cumsum` va contando.

# %%
points = torch.tensor([[3.0, 9.0, 5.0, 9.0], [8.0, 1.0, 2.0, 4.0]])  # una búsqueda por fila, un cajón por columna
color = torch.tensor([0, 1, 1, 0])  # el color de los botones de cada cajón

order = points.argsort(dim=1, descending=True, stable=True)
print("cajones, del mejor al peor:", order.tolist())
print("sus colores, en ese orden: ", color[order].tolist())
print("de color 1 hasta cada puesto:", (color[order] == 1).cumsum(dim=1).tolist())

# %% [markdown]
# Fíjate en la primera búsqueda: los cajones 1 y 3 empatan a 9 puntos, y con `stable=True` queda antes el 1, el de menor
# índice. Sin `stable=True`, PyTorch no promete nada, y la misma búsqueda podría dar otra lista en otro ordenador.

# %% [markdown]
# ## Ejercicio 1 · Una dirección por imagen
#
# *8 minutos · dificultad 1 de 5*
#
# Una capa produce C mapas por imagen. Para comparar imágenes no importa tanto dónde se enciende cada canal como cuánto:
# se hace la media de cada mapa y quedan C números, que se pueden ver como una flecha. Y como una foto con más contraste
# daría una flecha más larga, se llevan todas a longitud uno: solo cuenta hacia dónde apuntan.
#
# **Escribe** `embed(activations)`.
#
# - `activations`: tensor `(N, C, H, W)`, la salida de una capa. Puede tener valores negativos, que conservan su signo.
# - **Devuelve** un tensor `(N, C)`: de cada imagen, la media **espacial** de sus canales, dividida por la longitud de
#   ese vector (la raíz de la suma de sus cuadrados).
# - Cada imagen va por su cuenta: su vector no depende de con quién comparta el lote.
# - Una imagen con todas las medias a cero no apunta a ninguna parte: su vector se queda **en cero**, sin NaN.
# - Las activaciones pueden ser muy pequeñas, de una millonésima o menos, y su vector también mide uno.


# %% nbgrader={"grade": false, "grade_id": "embed", "locked": false, "schema_version": 3, "solution": true, "task": false}
def embed(activations):
    """Media espacial de cada canal, llevada a longitud uno: (N, C, H, W) → (N, C)."""
    ### BEGIN SOLUTION
    pooled = activations.mean(dim=(2, 3))
    length = pooled.norm(dim=1, keepdim=True)
    return pooled / torch.where(length > 0, length, 1)  # un vector nulo se divide por 1 y sigue siendo nulo
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí embed: la media de cada canal y, después, longitud uno.")


# %% [markdown]
# <details><summary>Pista 1: ¿qué ejes desaparecen?</summary>
#
# Entra `(N, C, H, W)` y sale `(N, C)`: se promedian los dos últimos, con `mean(dim=(2, 3))`.
# </details>
# <details><summary>Pista 2: una longitud por imagen</summary>
#
# `norm(dim=1, keepdim=True)` da la longitud de cada fila con forma `(N, 1)`, lista para dividir.
# </details>
# <details><summary>Pista 3: dividir por cero</summary>
#
# Si la longitud es 0, divide por 1: `torch.where(length > 0, length, 1)`. Sin sumarle un épsilon: con activaciones
# pequeñas, ese épsilon manda.
# </details>

# %% nbgrader={"grade": true, "grade_id": "embed-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("retrieval.embed", globals())

# %% nbgrader={"grade": true, "grade_id": "embed-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("retrieval.embed", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Las doscientas escenas, cada una en una fila, descritas por tu función con los 128
# canales de la última capa. Están puestas por formas. ¿Ves las franjas? Cada forma enciende sus propios canales.


# %%
def by_shape():
    """El orden que pone juntas las escenas de cada forma, y dónde va el nombre de cada una."""
    each = len(shape) // len(SHAPES)
    return shape.argsort(stable=True), [each * k + each / 2 - 0.5 for k in range(len(SHAPES))]


def draw_embeddings():
    vectors = embed(maps["block5"])
    order, centers = by_shape()
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
        picture = axis.imshow(vectors[order], aspect="auto", cmap="magma", interpolation="nearest")
        axis.set_yticks(centers, SHAPES)
        axis.set_xlabel("canal de block5")
        figure.colorbar(picture, label="componente")
        plt.close(figure)
    return figure


show(draw_embeddings, alt="Una fila por escena, ordenadas por formas: cada forma deja franjas en sus propios canales.")

# %% [markdown]
# ## Ejercicio 2 · ¿Cuánto se parecen?
#
# *8 minutos · dificultad 2 de 5*
#
# Dos flechas se parecen si apuntan al mismo lado. El coseno del ángulo que forman lo dice con un número: 1 si coinciden,
# 0 si son perpendiculares, −1 si son opuestas.
#
# **Escribe** `cosine_similarity(queries, database)`.
#
# - `queries`: las consultas, `(Q, C)`. `database`: la base, `(D, C)`. Un vector por fila, **de cualquier longitud**: no
#   des por hecho que miden uno.
# - **Devuelve** `(Q, D)`: en la fila q y la columna d, el producto escalar de los dos vectores entre el producto de sus
#   longitudes. Conserva el signo.
# - Un vector nulo no se parece a ninguno: su fila o su columna vale **0**, sin NaN.
# - Los vectores pueden ser muy pequeños (longitudes de una diezmillonésima), y su coseno es igual de bueno.


# %% nbgrader={"grade": false, "grade_id": "cosine-similarity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cosine_similarity(queries, database):
    """Coseno de cada consulta con cada vector de la base: (Q, C) y (D, C) → (Q, D)."""

    ### BEGIN SOLUTION
    def unit(vectors):
        length = vectors.norm(dim=1, keepdim=True)
        return vectors / torch.where(length > 0, length, 1)

    return unit(queries) @ unit(database).T
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí cosine_similarity: filas a longitud uno y producto de matrices.")


# %% [markdown]
# <details><summary>Pista 1: de coseno a producto</summary>
#
# Si los dos vectores miden uno, su coseno es su producto escalar. Ya sabes llevar filas a longitud uno.
# </details>
# <details><summary>Pista 2: todos con todos</summary>
#
# El producto de una matriz `(Q, C)` por otra `(C, D)` hace de una vez todos los productos escalares. ¿Qué le pasa a
# `database` para medir `(C, D)`?
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `a @ b.T`, con las filas de las dos matrices divididas antes por su longitud, y por 1 donde la longitud sea 0.
# </details>

# %% nbgrader={"grade": true, "grade_id": "cosine-similarity-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("retrieval.cosine_similarity", globals())

# %% nbgrader={"grade": true, "grade_id": "cosine-similarity-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("retrieval.cosine_similarity", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Cuánto se parece cada escena a todas las demás, según tres capas de la misma red. Están
# ordenadas por formas, así que un cuadrado claro en la diagonal es una forma que se parece a sí misma. ¿En qué capa
# aparecen?


# %%
def draw_similarities():
    order, centers = by_shape()
    vectors = {layer: embed(maps[layer])[order] for layer in ("block1", "block3", "block5")}
    similarities = {layer: cosine_similarity(v, v) for layer, v in vectors.items()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained", sharey=True)
        for axis, (layer, similarity) in zip(axes, similarities.items(), strict=True):
            picture = axis.imshow(similarity, cmap="magma", vmin=0, vmax=1)
            axis.set_title(layer)
            axis.set_xticks([])
            axis.set_yticks(centers, SHAPES)
        figure.colorbar(picture, ax=axes, label="coseno")
        plt.close(figure)
    return figure


show(draw_similarities, alt="Tres matrices de similitud: solo en block5 hay diez cuadrados claros en la diagonal.")

# %% [markdown]
# ## Ejercicio 3 · Las k más parecidas
#
# *15 minutos · dificultad 3 de 5*
#
# Con la matriz hecha, buscar es mirar cada fila y quedarse con los mayores. Con un cuidado: si la consulta también está
# en la base, lo más parecido a ella es ella misma, y eso no es encontrar nada.
#
# **Escribe** `top_k(similarity, k, exclude=None)`.
#
# - `similarity`: `(Q, D)`, cuanto mayor, más parecido. Los valores pueden ser **cualesquiera**: cosenos, o distancias
#   cambiadas de signo, todas muy por debajo de −1.
# - `k`: cuántas vecinas, un entero entre 1 y las que hay.
# - `exclude`: nada, o un `LongTensor` `(Q,)` con la columna que **cada** consulta se salta, la suya y no las de las
#   demás. Puede estar en cualquier puesto de la lista, no solo en el primero.
# - **Devuelve** un `LongTensor` `(Q, k)`: en cada fila, los **índices** de las columnas, de la más parecida a la menos.
#   Son los índices de la matriz que te dieron.
# - En un **empate** va antes la columna de menor índice, y eso decide también quién entra si el empate cae en el corte.


# %% nbgrader={"grade": false, "grade_id": "top-k", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_k(similarity, k, exclude=None):
    """Columnas (Q, k) de los k valores mayores de cada fila, de mayor a menor."""
    ### BEGIN SOLUTION
    if exclude is not None:
        similarity = similarity.scatter(1, exclude[:, None], -torch.inf)  # scatter, sin guion bajo, hace una copia
    order = similarity.argsort(dim=1, descending=True, stable=True)
    return order[:, :k]
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí top_k: ordena cada fila, sáltate la excluida y quédate con k columnas.")


# %% [markdown]
# <details><summary>Pista 1: empieza sin excluir a nadie</summary>
#
# El ejemplo resuelto ya ordena cada fila de mayor a menor respetando los empates. `topk` es más corta y no promete qué
# hace con ellos.
# </details>
# <details><summary>Pista 2: excluir</summary>
#
# Si en la casilla excluida hubiera un número menor que todos los demás, quedaría la última y no saldría. Solo hay uno que
# pierde siempre: `-torch.inf`.
# </details>
# <details><summary>Pista 3: una casilla por fila, en una copia</summary>
#
# `copy = similarity.clone()` y después `copy[torch.arange(len(copy)), exclude] = -torch.inf`: la fila 0 con la columna
# `exclude[0]`, la 1 con `exclude[1]`… Con `copy[:, exclude]` borrarías esas columnas en todas las filas.
# </details>

# %% nbgrader={"grade": true, "grade_id": "top-k-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("retrieval.top_k", globals())

# %% nbgrader={"grade": true, "grade_id": "top-k-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("retrieval.top_k", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un buscador. Tres escenas y sus cinco vecinas, según `block3` y según `block5`. El ✓
# marca las de la misma forma. Lee también las texturas: ¿qué busca cada capa? (Están escogidas para que se vea bien; con
# las doscientas, comparten la textura 52 de cada 100 vecinas de `block3`, y la forma, 99 de cada 100 de `block5`.)


# %%
def draw_neighbors():
    chosen = torch.tensor([27, 52, 113])
    rows = []
    for layer in ("block3", "block5"):
        vectors = embed(maps[layer])
        rows.append(top_k(cosine_similarity(vectors[chosen], vectors), 5, exclude=chosen))
    neighbors = torch.stack(rows, dim=1).flatten(0, 1)  # block3 y block5 de la primera, de la segunda…
    queries = chosen.repeat_interleave(2)

    def name(i):
        return f"{SHAPES[shape[i]]}, {TEXTURES[texture[i]]}"

    titles = [
        [f"{layer}\n{name(i)}", *map(name, row)]
        for layer, i, row in zip(["block3", "block5"] * len(chosen), queries, neighbors, strict=True)
    ]
    return neighbors_grid(
        images[queries], images[neighbors], shape[neighbors] == shape[queries][:, None], titles=titles
    )


show(draw_neighbors, alt="Tres escenas con sus vecinas: en block3 comparten la textura y en block5, la forma.")

# %% [markdown]
# ## Ejercicio 4 · La nota de una lista
#
# *15 minutos · dificultad 3 de 5*
#
# Tres ejemplos bonitos no dicen si un buscador es bueno. Hace falta una nota, y que premie poner lo relevante delante. La
# **precisión media** recorre la lista y, cada vez que encuentra una imagen relevante, apunta la precisión hasta ahí: de
# las vistas, qué fracción lo era.
#
# Con la lista *sí, no, sí* y dos relevantes en la base: en el puesto 1 la precisión es 1/1, y en el puesto 3, 2/3. La
# nota es (1 + 2/3) / 2 = 0,83.
#
# **Escribe** `average_precision(relevant, total_relevant)`.
#
# - `relevant`: tensor booleano `(k,)`: si cada resultado es relevante, del más parecido al menos.
# - `total_relevant`: un entero, cuántas relevantes hay **en la base**. Es al menos 1 y nunca menor que las de la lista;
#   puede ser mayor que k.
# - **Devuelve** un número de Python (`float`) en [0, 1]: la suma de la precisión en el puesto de **cada acierto**, dividida
#   por `total_relevant`.
# - Los puestos se cuentan desde 1, y el acierto de un puesto cuenta en su propia precisión.
# - Las relevantes que no aparecen aportan cero: se divide siempre por `total_relevant`, no por k ni por los aciertos. Una
#   lista sin aciertos vale `0.0`.


# %% nbgrader={"grade": false, "grade_id": "average-precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def average_precision(relevant, total_relevant):
    """Media de la precisión en el puesto de cada relevante; las que no aparecen aportan cero."""
    ### BEGIN SOLUTION
    places = torch.arange(1, len(relevant) + 1)
    precision = relevant.cumsum(dim=0) / places
    return float(precision[relevant].sum() / total_relevant)
    ### END SOLUTION
    raise NotImplementedError(
        "Escribe aquí average_precision: suma la precisión en cada acierto y divide por el total."
    )


# %% [markdown]
# <details><summary>Pista 1: contar por el camino</summary>
#
# `relevant.cumsum(dim=0)` dice cuántos aciertos hay hasta cada puesto, como en el ejemplo resuelto.
# </details>
# <details><summary>Pista 2: la precisión de todos los puestos</summary>
#
# Los puestos son 1, 2, …, k: `torch.arange(1, k + 1)`. Aciertos hasta ahí entre puesto, y tienes la precisión en cada
# uno.
# </details>
# <details><summary>Pista 3: solo los aciertos</summary>
#
# `precision[relevant]` se queda con los puestos donde hay un acierto. Falta sumar, dividir por `total_relevant` y
# convertir en `float`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "average-precision-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("retrieval.average_precision", globals())

# %% nbgrader={"grade": true, "grade_id": "average-precision-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("retrieval.average_precision", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Con las incrustaciones de `block4`, la mejor, la mediana y la peor de las doscientas
# búsquedas según tu nota, que va sobre cada consulta. Se ven las ocho primeras vecinas; la nota mira la lista entera.


# %%
def draw_best_and_worst():
    vectors = embed(maps["block4"])
    order = top_k(cosine_similarity(vectors, vectors), len(images) - 1, exclude=own)
    relevant = shape[order] == shape[:, None]
    scores = torch.tensor([average_precision(row, int(row.sum())) for row in relevant])
    ranked = scores.argsort(descending=True)
    chosen = ranked[[0, len(ranked) // 2, -1]]
    neighbors = order[chosen, :8]
    titles = [[f"nota {scores[i]:.2f}".replace(".", ","), *[SHAPES[shape[j]] for j in order[i, :8]]] for i in chosen]
    return neighbors_grid(images[chosen], images[neighbors], relevant[chosen, :8], titles=titles, size=1.0)


show(
    draw_best_and_worst,
    alt="Tres búsquedas con sus ocho primeras vecinas: todo aciertos, una mezcla y casi todo fallos.",
)

# %% [markdown]
# ## Ejercicio 5 · La nota de un buscador
#
# *25 minutos · dificultad 4 de 5*
#
# La nota de un buscador es la media de la de sus búsquedas: **mAP**, por *mean average precision*. Parece un trámite y
# es donde más notas se inflan: basta dejar que cada consulta se encuentre a sí misma.
#
# **Escribe** `mean_average_precision(similarity, query_labels, database_labels, exclude_self)`.
#
# - `similarity`: `(Q, D)`, con valores cualesquiera; cuanto mayor, más parecido.
# - `query_labels`: etiquetas enteras de las consultas, `(Q,)`. `database_labels`: las de la base, `(D,)`. Pueden ser
#   cualesquiera, también negativas. Es relevante la imagen con **la misma etiqueta** que la consulta.
# - `exclude_self`: un booleano. Con `True` las consultas son la propia base, en el mismo orden, y la consulta i **no está**
#   en su lista: ni ocupa un puesto, ni es un acierto, ni cuenta en el total. Con `False` nadie se salta nada, aunque la
#   matriz sea cuadrada.
# - Cada consulta ordena **la base entera** (sin ella misma, si toca) y recibe su precisión media. En un empate va antes la
#   imagen de menor índice.
# - Una consulta **sin ninguna imagen relevante** no tiene precisión media: queda fuera, del numerador y del divisor. Siempre
#   hay alguna consulta con relevantes.
# - **Devuelve** un número de Python (`float`): la media de las consultas, todas con el mismo peso.
#
# Puedes usar tu `average_precision`.


# %% nbgrader={"grade": false, "grade_id": "mean-average-precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_average_precision(similarity, query_labels, database_labels, exclude_self):
    """Media, sobre las consultas que tienen relevantes, de la precisión media de la base ordenada."""
    ### BEGIN SOLUTION
    order = similarity.argsort(dim=1, descending=True, stable=True)
    scores = []
    for i, row in enumerate(order):
        if exclude_self:
            row = row[row != i]  # por índice: una copia de la consulta sí puede aparecer
        relevant = database_labels[row] == query_labels[i]
        total = int(relevant.sum())
        if total > 0:
            scores.append(average_precision(relevant, total))
    return sum(scores) / len(scores)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí mean_average_precision: la media de la precisión media de las consultas.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Ordena todas las filas de una vez y recorre las consultas en un bucle: de cada una, la lista de índices, qué puestos son
# relevantes, cuántos hay, y su precisión media.
# </details>
# <details><summary>Pista 2: saltarse a sí misma</summary>
#
# En la fila i sobra el índice i, esté donde esté: `row[row != i]` la deja sin él. Y como el total se cuenta después, tampoco
# lo incluye.
# </details>
# <details><summary>Pista 3: la media</summary>
#
# Guarda en una lista solo las notas de las consultas con `total > 0`, y divide su suma por la longitud **de esa lista**.
# </details>

# %% nbgrader={"grade": true, "grade_id": "mean-average-precision-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("retrieval.mean_average_precision", globals())

# %% nbgrader={"grade": true, "grade_id": "mean-average-precision-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("retrieval.mean_average_precision", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La respuesta a la pregunta de Rosario. Con las mismas doscientas escenas, la nota de cada
# capa si «como este» significa la misma forma, y si significa la misma textura. A la red solo se le enseñaron las formas.
# Y una columna de más: la nota por formas si olvidas `exclude_self`.


# %%
def draw_layers():
    notes = {"misma forma": [], "misma textura": []}
    print("capa      forma   textura   forma, sin excluirse")
    for layer in LAYERS:
        vectors = embed(maps[layer])
        similarity = cosine_similarity(vectors, vectors)
        for name, labels in (("misma forma", shape), ("misma textura", texture)):
            notes[name].append(mean_average_precision(similarity, labels, labels, True))
        gift = mean_average_precision(similarity, shape, shape, False)
        print(f"{layer}   {notes['misma forma'][-1]:6.2f}   {notes['misma textura'][-1]:7.2f}   {gift:20.2f}")
    noise = torch.rand(len(images), len(images), generator=torch.Generator().manual_seed(0))
    chance = mean_average_precision(noise, shape, shape, True)
    return precision_by_layer_plot(LAYERS, notes, chance=chance, ylabel="mAP")


show(
    draw_layers, alt="mAP por capas: la de textura sube hasta block3 y vuelve a bajar; la de forma se dispara al final."
)

# %% [markdown]
# ## Para pensar
#
# Vuelve a la mercería. El buscador pone dos botones uno al lado del otro, con un coseno de 0,98. Responde en unas líneas:
# **¿qué *no* demuestra que dos imágenes sean vecinas?** Piensa en qué pasaría con otra capa, con otra base de imágenes o
# con otro fondo, y en qué sabes de *por qué* son vecinas.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Que dos imágenes sean vecinas no demuestra que se parezcan para una persona, ni que tengan lo mismo dentro: solo que esa
# capa de esa red les da vectores que apuntan a un lado parecido. En otra capa las vecinas son otras: en la red de este
# cuaderno, `block3` junta texturas y `block5`, formas. Tampoco dice por qué son vecinas: puede ser el objeto, el fondo o
# una marca, y la media espacial ha borrado dónde estaba cada cosa. El coseno no es una probabilidad y su escala depende
# de la capa: en `block4`, dos escenas cualesquiera de este cuaderno tienen de media 0,89, y en `block5`, 0,56. Hay que
# compararlo con el de parejas al azar. Ser la primera de la
# lista es relativo a la base: siempre hay una más parecida, aunque no se parezca nada. Para saber más se cambia una sola
# cosa de la imagen (el fondo, la textura) y se mira si cambian las vecinas, y se mide con etiquetas y con el azar al lado.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | dice que el parecido es de una capa y una red, separa ser vecinas de la causa, y propone una comprobación (cambiar el fondo, comparar con parejas al azar) |
# | bien | da dos límites ciertos (la capa, la causa, el fondo, la base, la escala del coseno) sin explicarlos del todo |
# | insuficiente | dice solo que «puede equivocarse», o toma el coseno por la probabilidad de ser lo mismo |

# %% [markdown]
# **Para seguir.** El capítulo 04 del libro mide qué entiende por parecido cada capa y construye un índice que se guarda en
# disco y admite imágenes nuevas sin volver a calcular las viejas.
