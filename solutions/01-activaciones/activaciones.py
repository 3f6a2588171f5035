# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 01 · Activaciones
#
# Cuando Irene se jubiló, le dejó a Nadia su mesa, un ficus y una red que reconoce figuras. La red funciona: de mil
# escenas nuevas acierta 989. Lo que no dejó fue una explicación. Dentro hay 368 unidades repartidas en cinco bloques, y
# ninguna lleva etiqueta.
#
# La primera semana alguien le pregunta qué hace esa red por dentro, y Nadia se oye contestar: «acierta mucho». No es
# una respuesta. Así que abre un cuaderno y decide hacerle a cada unidad las mismas cuatro preguntas: **¿cuánto ves?,
# ¿qué respondes?, ¿sigues viva? y ¿qué es lo que más te enciende?**
#
# Este es ese cuaderno. Escribes tú las cuatro funciones que las contestan.
#
# **Al terminar sabrás**
#
# - calcular qué parte de la imagen puede ver una unidad de cualquier capa;
# - sacar de una red lo que pasa por varias capas, sin que se note que has estado ahí;
# - distinguir una unidad muerta de una que aún no ha visto lo suyo;
# - encontrar, en cientos de imágenes, los trozos que más encienden una unidad.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `receptive_field` | 10 | 2 de 5 | 4 de 5 |
# | 2 | `capture_activations` | 25 | 3 de 5 | 5 de 5 |
# | 3 | `dead_units` | 10 | 2 de 5 | 3 de 5 |
# | 4 | `top_patches` | 30 | 4 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** `model` es una red que recibe imágenes `(N, 3, H, W)` en [0, 1]: N imágenes de H filas y
# W columnas. Una capa convolucional devuelve `(N, C, h, w)`: de cada imagen, C mapas de h × w posiciones. Llamamos
# **unidad** a cada canal, y su **activación** es su mapa, un número por posición. Los tensores que devuelves se quedan
# en el dispositivo de lo que llega, y lo que llega no se modifica. Cualquier manera correcta de escribirlo vale, con
# bucles o sin ellos; lo único que no puedes hacer es llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from convlab.activations import receptive_field_of
from convlab.data.formas import SHAPES, TEXTURES, formas
from convlab.exercises import grade, show
from convlab.models import load_checkpoints, load_model
from convlab.plots import COLORS, STYLE, colorize, image_grid
from convlab.plots.activations import top_patch_grid

mini = load_model("mini")  # la red que dejó Irene

# %% [markdown]
# ## Un ejemplo resuelto: oír pasar una imagen
#
# Una red se ejecuta de un tirón: entra la imagen y salen diez números, los *logits*. Para enterarte de lo que ocurre
# en medio, PyTorch ofrece los **ganchos** (*hooks*): una función tuya a la que un módulo avisa cada vez que se ejecuta.
# El gancho recibe tres cosas, por este orden: el módulo, lo que entró y lo que salió.
#
# Aquí ponemos el mismo en todos los módulos que no contienen a otros. No guarda nada: solo dice qué forma tiene lo que
# sale de cada uno.


# %%
def tell(module, _inputs, output):
    print(f"{type(module).__name__:12} {tuple(output.shape)}")


hooks = [module.register_forward_hook(tell) for module in mini.modules() if not list(module.children())]
try:
    with torch.no_grad():  # solo miramos: no hace falta preparar derivadas
        mini(formas(1, seed=3).tensor())
finally:
    for hook in hooks:
        hook.remove()  # pase lo que pase, la red queda como estaba

print("unidades:", sum(module.num_features for name, module in mini.named_modules() if name.endswith(".bn")))

# %% [markdown]
# Se lee de arriba abajo: cada *pooling* deja la mitad de filas y de columnas, y cada bloque tiene más canales que el
# anterior. Al final, 128 mapas de 8 × 8 se resumen en diez números.
#
# Cada módulo tiene además un **nombre con puntos**, el camino para llegar a él: `"block2.conv"` es la convolución del
# bloque 2. `mini.named_modules()` los recorre todos, y `mini.get_submodule("block2.conv")` da uno.

# %% [markdown]
# ## Ejercicio 1 · ¿Cuánto ve una unidad?
#
# *10 minutos · dificultad 2 de 5*
#
# Una convolución de 7 × 7 ve siete píxeles de lado. La siguiente, de 3 × 3, mira tres posiciones de un mapa en el que
# cada una ya veía siete. ¿Cuántos píxeles de la imagen acaba viendo? Ese lado es el **campo receptivo**, y dice qué
# puede saber una unidad: con un campo de 7 píxeles nadie reconoce un pez.
#
# Va con otro número, el **salto**: a cuántos píxeles está lo que mira una unidad de lo que mira su vecina.
#
# **Escribe** `receptive_field(layers)`.
#
# - `layers`: lista de pares `(núcleo, paso)`, desde la imagen hacia arriba. Convoluciones y *pooling* cuentan igual. Las
#   que no miran a los vecinos (ReLU, BatchNorm) no aparecen, y el relleno no influye.
# - **Devuelve** `(tamaño, salto)`, dos enteros en píxeles. Por ejemplo, `[(7, 1), (2, 2), (3, 1)]` da `(12, 2)`.
# - Sin capas, cada píxel se ve a sí mismo: `[]` da `(1, 1)`.
# - La lista que te dan no se modifica.
#
# La trampa está en el paso. Tras una capa de paso 2, dos posiciones vecinas están a dos píxeles, y la capa siguiente
# ensancha el doble con el mismo núcleo. Un paso puede ser mayor que el núcleo; la cuenta es la misma.


# %% nbgrader={"grade": false, "grade_id": "receptive-field", "locked": false, "schema_version": 3, "solution": true, "task": false}
def receptive_field(layers):
    """Tamaño y salto del campo receptivo tras una lista de capas (núcleo, paso)."""
    ### BEGIN SOLUTION
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump  # los vecinos que añade están a `jump` píxeles unos de otros
        jump *= stride
    return size, jump
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí receptive_field: recorre las capas y lleva la cuenta de tamaño y salto.")


# %% [markdown]
# <details><summary>Pista 1: hazlo a mano</summary>
#
# Dos capas de 3 × 3 con paso 1: la primera ve 3 píxeles; la segunda añade uno por cada lado, y ve 5. Ahora pon un paso
# de 2 en la primera y vuelve a dibujarlo: ¿cuántos añade la segunda?
# </details>
# <details><summary>Pista 2: ¿cuánto añade una capa?</summary>
#
# Un núcleo de k mira k posiciones, y una de ellas ya estaba: añade k − 1. Cada una ensancha el campo tantos píxeles
# como valga el salto **antes** de esa capa.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Empieza con tamaño 1 y salto 1. En cada capa, primero suma al tamaño `(núcleo − 1)` por el salto; después multiplica
# el salto por el paso.
# </details>

# %% nbgrader={"grade": true, "grade_id": "receptive-field-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("activations.receptive_field", globals())

# %% nbgrader={"grade": true, "grade_id": "receptive-field-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("activations.receptive_field", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El campo de una unidad de cada bloque de `mini`, según tu función, puesto en el centro
# de una escena de 64 × 64. Una unidad de `block1` se asoma por una rendija; una de `block5` ve casi toda la escena. Y
# se comprueba: los números que se imprimen al lado son los de `receptive_field_of`, que sigue a la red operación a
# operación.

# %%
BLOCKS = ["block1.relu", "block2.relu", "block3.relu", "block4.relu", "block5.relu"]
CHAINS = {  # las capas de mini que miran a los vecinos, hasta cada bloque
    "block1.relu": [(7, 1)],
    "block2.relu": [(7, 1), (2, 2), (3, 1)],
    "block3.relu": [(7, 1), (2, 2), (3, 1), (2, 2), (3, 1)],
    "block4.relu": [(7, 1), (2, 2), (3, 1), (2, 2), (3, 1), (2, 2), (3, 1)],
    "block5.relu": [(7, 1), (2, 2), (3, 1), (2, 2), (3, 1), (2, 2), (3, 1), (3, 1)],
}


def draw_fields():
    x = formas(9, seed=3).tensor()[8:]
    boxes = torch.zeros(len(BLOCKS), 64, 64, dtype=torch.bool)
    titles = []
    for box, block in zip(boxes, BLOCKS, strict=True):
        size, jump = receptive_field(CHAINS[block])
        traced = receptive_field_of(mini, x, block)
        print(f"{block}: campo {size}, salto {jump} · siguiendo la red: {traced.size[0]} y {traced.jump[0]}")
        start = (64 - size) // 2
        box[start : start + size, start : start + size] = True
        titles.append(f"{block.removesuffix('.relu')}: {size} px")
    return image_grid(x.expand(len(BLOCKS), -1, -1, -1), titles, outlines=boxes)


show(draw_fields, alt="La misma escena cinco veces, con un recuadro cada vez mayor: de 7 píxeles a 58.")

# %% [markdown]
# ## Ejercicio 2 · Mirar dentro de la red
#
# *25 minutos · dificultad 3 de 5*
#
# Ya sabes qué puede ver cada unidad. Ahora, qué responde. Con los ganchos del ejemplo vas a quedarte con lo que sale de
# varias capas, y a marcharte sin dejar huellas: mañana otra persona usará esa red.
#
# **Escribe** `capture_activations(model, x, layers)`.
#
# - `model`: la red. `x`: imágenes `(N, 3, H, W)`.
# - `layers`: lista (o tupla) de nombres con puntos, como `["block5.relu", "block1"]`, en cualquier orden y sin
#   repetir. Cada una se ejecuta una sola vez por pasada.
# - **Devuelve** un diccionario con una entrada por nombre: la salida de esa capa, entera y tal como es, con sus valores
#   negativos si los tiene y con el eje de las N imágenes aunque solo haya una. El orden de las entradas da igual.
#
# Las reglas, para que no haya dudas:
#
# 1. Cada activación es una **copia**. Hay capas que escriben encima de lo que reciben (`nn.ReLU(inplace=True)`), y lo
#    que guardó tu gancho puede cambiar a tus espaldas.
# 2. La red se recorre en modo **eval**, pero puede llegarte en modo `train`, o con unos módulos en cada modo. Al
#    terminar, **cada módulo** queda en el que tenía.
# 3. **Sin grafo**: lo devuelto no pide gradiente. Con unos cientos de imágenes, un grafo detrás de cada una llena
#    la memoria.
# 4. La red queda **como estaba**: sin ganchos, también si algo falla, y con los mismos `requires_grad`. Y los
#    gradientes del resto del programa siguen encendidos.


# %% nbgrader={"grade": false, "grade_id": "capture-activations", "locked": false, "schema_version": 3, "solution": true, "task": false}
def capture_activations(model, x, layers):
    """Salida de cada capa de `layers`, por su nombre, en modo eval, sin grafo y sin dejar huellas."""
    ### BEGIN SOLUTION
    kept = {}

    def keep_as(name):  # una función por capa: así cada gancho recuerda su propio nombre
        def hook(_module, _inputs, output):
            kept[name] = output.clone()

        return hook

    modules = {name: model.get_submodule(name) for name in layers}  # si un nombre no existe, falla antes de tocar nada
    modes = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(keep_as(name)) for name, module in modules.items()]
    try:
        model.eval()
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return kept
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí capture_activations: un gancho por capa, una pasada y todo a su sitio.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Un diccionario vacío; un gancho por capa que guarde en él una copia de `output` con su nombre; una pasada de la red; y
# en un `finally`, quitar los ganchos y devolver los modos.
# </details>
# <details><summary>Pista 2: todas se llaman como la última</summary>
#
# Si creas los ganchos en un bucle con un `lambda` que usa `name`, cuando se ejecuten todos leerán el valor final.
# Escribe una función `keep_as(name)` que **devuelva** el gancho: cada llamada tiene su propio `name`.
# </details>
# <details><summary>Pista 3: los modos</summary>
#
# Antes de tocar nada, `[(module, module.training) for module in model.modules()]`. Al acabar, `module.training = …` para
# cada uno. `model.train(True)` no sirve para devolverlos: los pone todos iguales.
# </details>

# %% nbgrader={"grade": true, "grade_id": "capture-activations-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("activations.capture_activations", globals())

# %% nbgrader={"grade": true, "grade_id": "capture-activations-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("activations.capture_activations", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Lo que tu función saca de tres bloques cuando `mini` mira una escena: las siete
# unidades con la activación más alta de cada uno. En `block1` todavía se reconoce el dibujo: bordes y superficies. En
# `block5` quedan 8 × 8 celdas que dicen *dónde* hay algo, y ya casi no se ve *qué*.


# %%
def draw_maps():
    x = formas(8, seed=3).tensor()[7:]
    found = capture_activations(mini, x, ["block5.relu", "block1.relu", "block3.relu"])
    tiles, titles = [], []
    for name in ("block1.relu", "block3.relu", "block5.relu"):
        maps = found[name][0]
        peaks = maps.amax((1, 2))
        chosen = peaks.argsort(descending=True)[:7]
        tall = F.interpolate(maps[chosen][None], size=64, mode="nearest")[0]
        tiles += [x, colorize(tall / peaks[chosen][:, None, None])]
        titles += [name.removesuffix(".relu"), *(f"unidad {c}" for c in chosen.tolist())]
    return image_grid(torch.cat(tiles), titles, columns=8, size=1.1)


show(draw_maps, alt="Una escena y siete mapas de tres bloques: detallados en block1 y de 8 por 8 celdas en block5.")

# %% [markdown]
# ## Ejercicio 3 · ¿Qué unidades no se encienden nunca?
#
# *10 minutos · dificultad 2 de 5*
#
# Una ReLU puede dejar una unidad a cero para siempre: ocupa sitio, gasta cuentas y no aporta nada. Encontrarlas es
# fácil; lo difícil es no acusar a las que solo están esperando a ver lo suyo.
#
# **Escribe** `dead_units(activations, threshold=0.0)`.
#
# - `activations`: tensor `(N, C, H, W)` con las activaciones de **todo** el conjunto de imágenes.
# - `threshold`: el umbral, que puede ser positivo o negativo; por omisión, 0.
# - **Devuelve** un tensor **booleano** `(C,)`: `True` en los canales que no superan el umbral en ninguna posición de
#   ninguna imagen.
# - Igualar el umbral **no** es superarlo: con el umbral en 0, un canal siempre a 0 está muerto.
# - Cuenta el valor con su signo: una activación muy negativa no enciende nada.


# %% nbgrader={"grade": false, "grade_id": "dead-units", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dead_units(activations, threshold=0.0):
    """Canales que no superan el umbral en ninguna posición de ninguna imagen: (N, C, H, W) → booleanos (C,)."""
    ### BEGIN SOLUTION
    return activations.amax(dim=(0, 2, 3)) <= threshold
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí dead_units: el mayor valor de cada canal, comparado con el umbral.")


# %% [markdown]
# <details><summary>Pista 1: ¿qué ejes desaparecen?</summary>
#
# Entra `(N, C, H, W)` y sale `(C,)`: desaparecen las imágenes y las posiciones.
# </details>
# <details><summary>Pista 2: «en ninguna» se dice con un máximo</summary>
#
# Ninguno supera el umbral cuando el mayor de todos no lo supera. La media no sirve: un canal que se enciende mucho en
# un solo punto la tiene casi a cero.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `amax` acepta una tupla de ejes: `(0, 2, 3)`. Después, una comparación con `<=`, que ya da booleanos.
# </details>

# %% nbgrader={"grade": true, "grade_id": "dead-units-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("activations.dead_units", globals())

# %% nbgrader={"grade": true, "grade_id": "dead-units-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("activations.dead_units", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un aviso contra las prisas. Tu función cuenta las unidades «muertas» de `mini` cuando
# llevaba 25 pasos de entrenamiento, según cuántas escenas se le enseñen. Con una sola parecen más del doble que con
# cuatrocientas. Y mira la última línea que se imprime: 25 pasos después ya no queda ninguna. Mientras una red se
# entrena, «muerta» puede querer decir «dormida».


# %%
def count_dead(model, scenes):
    """Unidades que siguen sin encenderse tras ver 1, 2, 3… escenas, por bloque."""
    still = {block: [] for block in BLOCKS}
    for batch in scenes.split(50):
        found = capture_activations(model, batch, BLOCKS)
        for block, maps in found.items():
            still[block] += [dead_units(maps[n : n + 1]) for n in range(len(maps))]
    return {block: torch.stack(rows).int().cumprod(0).sum(1) for block, rows in still.items()}


def draw_dead():
    scenes, checkpoints = formas(400, seed=3).tensor(), load_checkpoints()
    counts = count_dead(checkpoints[25], scenes)
    print("unidades sin encenderse, de 368")
    for n in (1, 20, 400):
        print(f"paso 25, escenas vistas {n:3}: {sum(int(c[n - 1]) for c in counts.values()):2}")
    print(f"paso 50, escenas vistas 400: {sum(int(c[-1]) for c in count_dead(checkpoints[50], scenes).values()):2}")
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
        for k, (block, values) in enumerate(counts.items()):
            label = f"{block.removesuffix('.relu')} ({mini.get_submodule(block.replace('relu', 'bn')).num_features})"
            axis.plot(range(1, 401), values, color=COLORS[k], label=label, drawstyle="steps-post")
        axis.set_xscale("log")
        axis.set_xticks([1, 10, 100, 400], ["1", "10", "100", "400"])
        axis.set_xlabel("escenas vistas")
        axis.set_ylabel("unidades sin encenderse")
        axis.legend(title="bloque (unidades)", frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
        plt.close(figure)
    return figure


show(draw_dead, alt="Cinco curvas que bajan: cuantas más escenas se ven, menos unidades parecen muertas.")

# %% [markdown]
# ## Ejercicio 4 · Los trozos que más la encienden
#
# *30 minutos · dificultad 4 de 5*
#
# La última pregunta, y la que más enseña: de todo lo que ha visto una unidad, ¿qué es lo que más la enciende? No basta
# con dar la imagen: hay que recortar el trozo que esa posición ve. En la figura del final se juntan tus ejercicios 1, 2
# y 4.
#
# **Escribe** `top_patches(activations, receptive_field, jump, offset, k, *, size=None)`.
#
# - `activations`: los mapas de **una** unidad en N imágenes, `(N, H, W)`. Pueden ser negativos.
# - `receptive_field`, `jump`: el tamaño del campo y el salto, en píxeles, iguales a lo alto y a lo ancho. (Dentro de
#   esta función `receptive_field` es un número, no la del ejercicio 1.)
# - `offset`: el primer píxel que ve la posición (0, 0), tanto en filas como en columnas. Es el **comienzo** del campo,
#   no su centro. Con relleno es negativo: el campo empieza fuera de la imagen.
# - `k`: cuántas posiciones; nunca más de las que hay.
# - `size`: `(alto, ancho)` de las imágenes en píxeles, o `None` si no se sabe.
# - **Devuelve** una lista de k tuplas de enteros `(n, y0, x0, y1, x1)`: la imagen y el trozo
#   `x[n, :, y0:y1, x0:x1]`, de mayor a menor activación.
#
# Las reglas:
#
# 1. La posición `(i, j)` ve las filas desde `offset + i * jump` hasta `receptive_field` píxeles más allá, sin incluir la
#    última, e igual las columnas con `j`.
# 2. Compiten todas las posiciones de todas las imágenes: de una pueden salir varias y de otra, ninguna.
# 3. Gana el valor más alto **con su signo**. Si empatan, va antes la imagen anterior; en la misma imagen, la fila de
#    más arriba; en la misma fila, la columna de más a la izquierda. `topk` no promete nada de esto.
# 4. El parche se **recorta** a la imagen: por arriba y por la izquierda siempre, en 0; por abajo y por la derecha, si
#    se conoce `size`. Recortar no lo mueve: un parche del borde es más pequeño. Ninguno cae entero fuera.


# %% nbgrader={"grade": false, "grade_id": "top-patches", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_patches(activations, receptive_field, jump, offset, k, *, size=None):
    """Los k trozos de imagen que más encienden una unidad: [(n, y0, x0, y1, x1), …], de más a menos."""
    ### BEGIN SOLUTION
    _, height, width = activations.shape
    order = activations.flatten().sort(descending=True, stable=True).indices  # estable: los empates no se mueven
    patches = []
    for place in order[:k].tolist():
        n, rest = divmod(place, height * width)
        i, j = divmod(rest, width)
        y0, x0 = offset + i * jump, offset + j * jump
        y1, x1 = y0 + receptive_field, x0 + receptive_field
        if size is not None:
            y1, x1 = min(y1, size[0]), min(x1, size[1])
        patches.append((n, max(y0, 0), max(x0, 0), y1, x1))
    return patches
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí top_patches: ordena las posiciones y pasa cada una a píxeles.")


# %% [markdown]
# <details><summary>Pista 1: dos problemas separados</summary>
#
# Primero, qué posiciones: aplana los mapas y ordénalos de mayor a menor. Después, qué píxeles ve cada una: pura
# aritmética con `i`, `j`, `offset` y `jump`.
# </details>
# <details><summary>Pista 2: de una posición plana a (n, i, j)</summary>
#
# Al aplanar `(N, H, W)` cada imagen ocupa H · W lugares, y cada fila, W. `divmod(p, H * W)` da la imagen y lo que
# sobra; con lo que sobra, otro `divmod`. Para los empates, `sort(descending=True, stable=True)`: una ordenación
# estable no cambia el orden de los que valen lo mismo.
# </details>
# <details><summary>Pista 3: recortar sin mover</summary>
#
# Calcula `y0` y, desde él, `y1 = y0 + receptive_field`. Solo entonces recorta: `max(y0, 0)`, y si hay tamaño,
# `min(y1, size[0])`. Si recortas `y0` antes de sumar, el parche crece por dentro.
# </details>

# %% nbgrader={"grade": true, "grade_id": "top-patches-visible", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
grade("activations.top_patches", globals())

# %% nbgrader={"grade": true, "grade_id": "top-patches-oculta", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("activations.top_patches", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La ficha que Nadia quería. De 600 escenas, los nueve trozos que más encienden a cuatro
# unidades de `block3`, elegidas porque se leen bien. La 13 responde a franjas de dos colores, sean rectas o en anillos; la
# 34, al grano. Lo gris es lo que el campo ve fuera de la imagen. ¿Qué dirías de las otras dos?

# %%
SCENES = formas(600, seed=21)


def draw_patches(layer, units):
    x = SCENES.tensor()
    field = receptive_field_of(mini, x[:1], layer)  # de aquí, el comienzo; el tamaño y el salto son los tuyos
    size, jump = receptive_field(CHAINS[layer])
    maps = torch.cat([capture_activations(mini, batch, [layer])[layer][:, units] for batch in x.split(100)])
    patches = [top_patches(maps[:, u], size, jump, field.start[0], 9, size=(64, 64)) for u in range(len(units))]
    for unit, rows in zip(units, patches, strict=True):
        seen = [int(n) for n, *_ in rows]
        shapes, textures = ([names[k] for k in values[seen]] for names, values in LABELS)
        counts = [f"{max(map(v.count, v))} de 9 «{max(v, key=v.count)}»" for v in (shapes, textures)]
        print(f"unidad {unit:3}: {len(set(seen))} escenas distintas; forma, {counts[0]}; textura, {counts[1]}")
    return top_patch_grid(x, torch.tensor(patches), [f"unidad {u}" for u in units])


LABELS = (SHAPES, SCENES.shape), (TEXTURES, SCENES.texture)

show(
    lambda: draw_patches("block3.relu", [13, 34, 18, 59]),
    alt="Cuatro filas de nueve trozos de 22 píxeles: franjas, grano, zigzags y bordes de figuras lisas.",
)

# %% [markdown]
# Y ahora `block5`, que ve casi toda la escena. A estas cuatro unidades nadie les dijo nunca qué buscar, y cada una se ha
# quedado con una figura. También las hemos escogido, así que aquí va la cuenta entera: de las 64 unidades de `block3`, 5
# tienen sus nueve trozos de una misma textura y ninguna, de una misma forma; de las 128 de `block5`, 40 los tienen de una
# misma forma y ninguna, de una misma textura.

# %%
show(
    lambda: draw_patches("block5.relu", [1, 12, 14, 24]),
    alt="Cuatro filas de nueve trozos: corazones, lunas, peces y círculos, con texturas y colores distintos.",
)

# %% [markdown]
# ## Para pensar
#
# Los nueve trozos que más encienden a la unidad 12 de `block5` son lunas. Nadia está a punto de escribir en su ficha:
# «unidad 12: detector de lunas». Antes de que lo haga, responde en unas líneas: **¿qué *no* demuestra que una unidad se
# encienda con una imagen?** Piensa, por ejemplo, en las imágenes que no salen en la figura, o en qué pasaría si la
# unidad no estuviera.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# No demuestra que la unidad *solo* se encienda con eso. Los trozos de la figura son el extremo de lo que hace, no lo
# que hace: en las 600 escenas, la unidad 12 se enciende en alguna posición de **todas** las que no tienen ninguna luna,
# y en el 8,3 % de ellas pasa de la mitad de su récord. Tampoco demuestra que la red la *use* para decir «luna»: si se
# pone a cero, `mini` sigue acertando las 60 lunas del conjunto, porque otras unidades llevan la misma información. Para
# hablar de causa hay que intervenir, apagarla y mirar la respuesta. No dice *qué* parte del trozo importa (la forma, el
# contraste, el fondo): el campo es lo que la unidad puede ver, no lo que mira. Y depende del conjunto: con otras
# imágenes, los nueve trozos serían otros, y el nombre que le pusimos, quizá también.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | distingue encenderse de ser selectiva y de ser causa, y dice cómo probarlo (ver lo demás, apagarla) |
# | bien | da dos límites ciertos (otras imágenes, causa, qué parte importa, el conjunto) sin explicarlos del todo |
# | insuficiente | dice solo que «puede equivocarse», o toma los nueve trozos por la definición de la unidad |

# %% [markdown]
# **Para seguir.** El capítulo 01 del libro vuelve sobre estas cuatro preguntas con las estadísticas de cada unidad. Y en la
# lección 03 harás lo contrario que aquí: en vez de buscar la imagen que más enciende a una unidad, la dibujarás.
