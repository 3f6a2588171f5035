# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 08 · DeconvNet
#
# Tomás restaura vidrieras. Para ordenar los miles de trozos de un rosetón roto usa una red que reconoce figuras: le
# enseña una foto y ella dice «luna», «pez», «anillo». Acierta. Pero a Tomás no le basta con un nombre: antes de soldar
# una pieza quiere saber en qué se fija la red por dentro. Ha visto que un canal, el 93 de su cuarto bloque, se enciende
# con un corazón verde y con dos lunas de otros colores y otros tamaños. ¿Qué ve en los tres?
#
# Saber *dónde* mira no contesta a eso. Hay que preguntarle a la unidad que se encendió **qué trozo de la imagen la
# encendió, y qué forma tiene**. En 2013, Matthew Zeiler y Rob Fergus encontraron cómo: recorrer la red al revés, desde
# la unidad hasta los píxeles, capa a capa y por el mismo camino por el que se subió. Lo llamaron **DeconvNet**.
#
# En este cuaderno escribes ese camino de bajada, contestas a Tomás y, al final, mides hasta dónde puedes fiarte de un
# dibujo tan bonito.
#
# **Al terminar sabrás**
#
# - bajar una señal por una ReLU, un *max-pooling* y una convolución;
# - explicar qué es la transpuesta de una capa y por qué no es su inversa;
# - escribir DeconvNet entero, capa a capa y sin derivar nada;
# - medir si una explicación cambia cuando cambia la pregunta.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `relu_backward` | 10 | 2 de 5 | 5 de 5 |
# | 2 | `unpool` | 15 | 3 de 5 | 3 de 5 |
# | 3 | `conv_adjoint` | 20 | 3 de 5 | 4 de 5 |
# | 4 | `deconvnet` | 30 | 5 de 5 | 5 de 5 |
# | 5 | `class_sensitivity` | 15 | 3 de 5 | 4 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa. El ejercicio 4 usa lo que escribes en los tres primeros.
#
# **Lo que vale para todos.** Las imágenes son `(N, 3, H, W)`, y los mapas de una capa, `(N, C, h, w)`: N imágenes, C
# canales. Las **señales** que bajan tienen la forma de los mapas por los que pasan, con su signo y sin normalizar. Los
# resultados se quedan en el dispositivo y el tipo de lo que llega, y lo que llega no se modifica. Un tensor puede
# tener los ejes en otro orden en la memoria: para cambiarle la forma, `reshape` o `flatten` valen siempre; `view`, no.
# Cualquier manera correcta de escribirlo vale, con bucles o sin ellos; lo único que no puedes hacer es llamar a la
# función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from convlab.data.formas import SHAPES, formas
from convlab.data.photos import load_photo, to_tensor
from convlab.deconvnet import input_signal
from convlab.exercises import grade, show
from convlab.gradcam import grad_cam
from convlab.hooks import activation_and_gradient, capture
from convlab.models import load_model
from convlab.plots import colorize, image_grid
from convlab.plots.deconvnet import reconstruction_grid, signed_rgb

mini = load_model("mini")


def in_a_row(network):
    """Las capas de `mini` en una sola fila: conv1, bn1, relu1, pool1, conv2… Su normalización, como una BatchNorm."""
    start = nn.BatchNorm2d(3, eps=0)
    start.running_mean.fill_(0.5)
    start.running_var.fill_(0.25**2)
    layers = OrderedDict(norm=start)
    for block in (1, 2, 3, 4, 5):
        for name, module in network.get_submodule(f"block{block}").named_children():
            layers[f"{name}{block}"] = module
    return nn.Sequential(layers).eval().requires_grad_(False)


row = in_a_row(mini)

# %% [markdown]
# ## Un ejemplo resuelto: bajar por donde se subió
#
# La capa más sencilla es una matriz. Hacia arriba, `W` convierte 3 números en 2. Hacia abajo usaremos su
# **transpuesta**: convierte 2 números en 3 y reparte cada salida entre las entradas que la formaron, con los mismos
# pesos. No es la inversa (con 2 números no se recuperan 3), y no lleva sesgo: el sesgo no vino de la entrada.
#
# ¿Cómo se sabe que una bajada es la que corresponde a una subida? Porque cumple una igualdad, la de la **adjunta**:
# para cualquier `x` y cualquier `y`, ⟨Wx, y⟩ = ⟨x, Wᵀy⟩, donde ⟨ , ⟩ es multiplicar elemento a elemento y sumar. Sirve
# también cuando la matriz es tan grande que nadie la escribe, como la de una convolución.

# %%
layer = nn.Linear(3, 2).double()
x, y = torch.rand(3, dtype=torch.float64), torch.rand(2, dtype=torch.float64)

up = layer.weight @ x  # sin el sesgo
down = layer.weight.T @ y
print(f"⟨Wx, y⟩ = {(up * y).sum():.6f}    ⟨x, Wᵀy⟩ = {(x * down).sum():.6f}")

# %% [markdown]
# Hay una capa que olvida: el *max-pooling* (agrupación) se queda con el mayor de cada ventana y no dice de dónde
# salió. Para poder bajar, se le pide que lo apunte. Esas posiciones son los **interruptores** (*switches*), y cuentan
# los píxeles del mapa por filas: `fila · W + columna`.

# %%
maps = torch.tensor([[[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 0.0, 7.0]]]])  # un mapa de 2 filas y 4 columnas
pooled, switches = F.max_pool2d(maps, kernel_size=2, return_indices=True)
print("máximos:", pooled.flatten().tolist(), "· interruptores:", switches.flatten().tolist())

# %% [markdown]
# El 5 estaba en la fila 0, columna 1: 0 · 4 + 1 = 1. El 7, en la fila 1, columna 3: 1 · 4 + 3 = 7.

# %% [markdown]
# ## Ejercicio 1 · La ReLU, hacia atrás
#
# *10 minutos · dificultad 2 de 5*
#
# Tres métodos famosos bajan por la red igual, salvo en una cosa: qué dejan pasar en cada ReLU. Si solo aprendes una
# línea de esta lección, que sea esta.
#
# **Escribe** `relu_backward(activation, gradient, rule)`.
#
# - `activation`: la entrada o la salida de la ReLU en la pasada hacia delante; da igual, porque solo importa dónde es
#   positiva.
# - `gradient`: la señal que llega de arriba, con la misma forma. Puede ser cualquiera: `(N, C, h, w)`, `(N, C)`…
# - `rule`: una de estas tres.
#
# | `rule` | la señal pasa donde… | nombre |
# |---|---|---|
# | `"backprop"` | la activación es positiva | gradiente |
# | `"deconvnet"` | la propia señal es positiva; la activación **no cuenta** | DeconvNet |
# | `"guided"` | lo son las dos | retropropagación guiada |
#
# - **Devuelve** un tensor nuevo con la señal donde pasa, con su valor, y 0 donde no.
# - «Positiva» es mayor que 0: una activación que vale exactamente 0 está apagada y cierra el paso.


# %% nbgrader={"grade": false, "grade_id": "relu-backward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relu_backward(activation, gradient, rule):
    """Lo que una ReLU deja pasar hacia atrás con cada regla; lo demás, a cero."""
    ### BEGIN SOLUTION
    gate = {
        "backprop": activation > 0,
        "deconvnet": gradient > 0,
        "guided": (activation > 0) & (gradient > 0),
    }[rule]
    return torch.where(gate, gradient, 0.0)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí relu_backward: qué señal pasa con cada una de las tres reglas.")


# %% [markdown]
# <details><summary>Pista 1: la puerta</summary>
#
# En los tres casos hay una puerta, un tensor booleano con la forma de la señal, y luego se hace lo mismo: donde está
# abierta pasa la señal y donde no, un 0. Solo cambia la puerta.
# </details>
# <details><summary>Pista 2: dos condiciones a la vez</summary>
#
# Entre tensores booleanos, «y» se escribe `&`, con cada condición entre paréntesis.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `torch.where(gate, gradient, 0.0)` hace un tensor nuevo. Asignar ceros dentro de `gradient` cambiaría la señal de
# quien te llamó.
# </details>

# %% nbgrader={"grade": true, "grade_id": "relu-backward-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("deconvnet.relu_backward", globals())

# %% nbgrader={"grade": true, "grade_id": "relu-backward-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("deconvnet.relu_backward", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una ReLU de verdad: la del bloque 4 de `mini` ante un corazón. De dos de sus canales,
# la activación, la señal que baja desde el logit y lo que deja pasar cada regla. El gris es 0; más claro, positivo; más
# oscuro, negativo. Fíjate en las celdas claras que tiene DeconvNet y no la guiada: ahí la activación era 0, y DeconvNet
# no la ha mirado.


# %%
def draw_rules():
    heart = SHAPES.index("corazón")
    image = formas(10, seed=40).tensor()[[heart]]
    maps, signal = activation_and_gradient(mini, image, "block4.relu", lambda logits: logits[:, heart])
    # Los dos canales donde más hay de todo: encendido y apagado, señal positiva y negativa.
    kinds = [(signal * (maps > 0)), (signal * (maps == 0))]
    amounts = torch.stack([part.clamp(min=0).sum((0, 2, 3)) for kind in kinds for part in (kind, -kind)])
    chosen = amounts.amin(0).argsort(descending=True)[:2]
    rules = [relu_backward(maps, signal, rule) for rule in ("backprop", "deconvnet", "guided")]
    tiles, titles = [], []
    for channel in chosen:
        parts = torch.cat([t[:, [channel]] for t in (maps, signal, *rules)]).expand(-1, 3, -1, -1)
        # La señal y lo que pasa de ella comparten escala, para poder compararlas.
        scale = torch.stack([parts[0].abs().max(), *[parts[1].abs().max()] * 4])[:, None, None, None]
        tiles += [image, F.interpolate(0.5 + 0.5 * parts / scale, size=64, mode="nearest")]
        titles += [f"canal {channel}", "activación", "señal que llega", "backprop", "deconvnet", "guided"]
    return image_grid(torch.cat(tiles), titles, columns=6)


show(draw_rules, alt="Dos canales de una ReLU: su activación, la señal que llega y lo que pasa con cada regla.")

# %% [markdown]
# ## Ejercicio 2 · Desagrupar con interruptores
#
# *15 minutos · dificultad 3 de 5*
#
# Al subir, el *max-pooling* se quedó con un valor por ventana. Al bajar, cada señal debe volver al sitio del que salió
# ese valor, y a ningún otro: así la reconstrucción conserva los bordes donde estaban.
#
# **Escribe** `unpool(pooled, switches, size)`.
#
# - `pooled`: la señal, `(N, C, h, w)`, con valores de cualquier signo.
# - `switches`: los interruptores, un tensor de enteros con la misma forma, como los de `F.max_pool2d(...,
#   return_indices=True)`. Cada uno es `fila · W + columna` **dentro de su mapa**: el de una imagen y un canal.
# - `size`: `(H, W)`, el alto y el ancho de los mapas que entraron en el *pooling*.
# - **Devuelve** un tensor `(N, C, H, W)`: cada valor en su sitio y 0 en los demás.
# - Si las ventanas se solapan, un mismo píxel puede ser el máximo de varias. Entonces sus señales **se suman**.
#
# Una trampa: `nn.MaxUnpool2d` parece hacer justo esto, pero si dos ventanas comparten el máximo se queda con una señal
# y pierde la otra. En AlexNet, que agrupa de 3 en 3 con paso 2, eso pasa continuamente.


# %% nbgrader={"grade": false, "grade_id": "unpool", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unpool(pooled, switches, size):
    """Cada valor de la señal, en la posición que dice su interruptor: (N, C, h, w) → (N, C, H, W)."""
    ### BEGIN SOLUTION
    height, width = size
    flat = pooled.new_zeros(*pooled.shape[:2], height * width)
    flat.scatter_add_(2, switches.flatten(2), pooled.flatten(2))
    return flat.unflatten(2, (height, width))
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí unpool: cada valor a su interruptor, y lo que coincide se suma.")


# %% [markdown]
# <details><summary>Pista 1: con bucles</summary>
#
# Cuatro bucles valen: imagen, canal, fila y columna de `pooled`. `divmod(indice, W)` da la fila y la columna de
# destino. Empieza con un tensor de ceros y suma con `+=`.
# </details>
# <details><summary>Pista 2: sin bucles</summary>
#
# Aplana los dos últimos ejes, `flatten(2)`, de la señal y de los interruptores: quedan `(N, C, h · w)`. Los índices
# son justo posiciones de un mapa también aplanado, `(N, C, H · W)`.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `ceros.scatter_add_(2, indices, valores)` suma cada valor en su índice, también si se repite. Los ceros, con
# `pooled.new_zeros(...)`, que conserva el tipo. Al final, `unflatten(2, size)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "unpool-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("deconvnet.unpool", globals())

# %% nbgrader={"grade": true, "grade_id": "unpool-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("deconvnet.unpool", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El mapa de un canal del primer bloque, agrupado de 4 en 4: queda un valor de cada
# dieciséis. En bloques, las rayas y los arcos pierden su trazo; tu función devuelve cada valor al píxel del que salió, y
# el trazo vuelve.


# %%
def draw_unpooled():
    scenes = formas(8, seed=11).tensor()[[0, 6]]
    maps = capture(row, scenes, ["relu1"])["relu1"]
    strongest = maps.var((2, 3)).argmax(1)  # el canal que más contrasta en cada una
    maps = maps[torch.arange(len(maps)), strongest][:, None]
    pooled, switches = F.max_pool2d(maps, 4, return_indices=True)
    back = unpool(pooled, switches, tuple(maps.shape[2:]))
    blocks = F.interpolate(pooled, size=64, mode="nearest")
    tiles = [[one[None], *(colorize(t[k] / t[k].max()) for t in (maps, blocks, back))] for k, one in enumerate(scenes)]
    titles = ["imagen", "mapa", "agrupado", "tu unpool"]
    return image_grid(torch.cat([tile for line in tiles for tile in line]), titles, columns=4, size=1.9)


show(
    draw_unpooled,
    alt="Dos escenas: el mapa de un canal, el mismo agrupado en bloques y desagrupado con interruptores.",
)

# %% [markdown]
# ## Ejercicio 3 · La convolución, transpuesta
#
# *20 minutos · dificultad 3 de 5*
#
# Una convolución es una matriz enorme en la que casi todo son ceros. Su transpuesta se entiende mejor con un sello de
# caucho: cada valor de la señal **estampa su filtro**, multiplicado por ese valor, en la ventana que miraba. Donde dos
# estampas se pisan, se suman.
#
# **Escribe** `conv_adjoint(y, weight, stride, padding, output_size)`.
#
# - `y`: la señal, `(N, O, h, w)`, con la forma de lo que salió de la convolución.
# - `weight`: sus pesos, `(O, C, kh, kw)`, tal como están en la `nn.Conv2d`. El núcleo puede no ser cuadrado.
# - `stride` y `padding`: dos enteros, el paso y el relleno (de ceros), iguales en los dos ejes.
# - `output_size`: `(H, W)`, el alto y el ancho de la imagen que **entró** en la convolución.
# - **Devuelve** un tensor `(N, C, H, W)`: el único que cumple ⟨Wx, y⟩ = ⟨x, Wᵀy⟩ para cualquier imagen `x`, donde `Wx`
#   es `F.conv2d(x, weight, stride=stride, padding=padding)`. Sin sesgo.
#
# Puedes usar lo que quieras de PyTorch, `F.conv_transpose2d` incluida. La trampa está en `output_size`. Con paso 2,
# una imagen de 7 columnas y otra de 8 pueden dar mapas del mismo ancho, así que desde la señal no se sabe de cuál
# venía: `conv_transpose2d` elige la menor, y hay que decirle cuánto le falta. Y ojo: con relleno, lo que falta no son
# ceros.


# %% nbgrader={"grade": false, "grade_id": "conv-adjoint", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conv_adjoint(y, weight, stride, padding, output_size):
    """La transpuesta de una convolución sin sesgo: (N, O, h, w) → (N, C, H, W)."""
    ### BEGIN SOLUTION
    missing = [
        output_size[axis] + 2 * padding - weight.shape[2 + axis] - stride * (y.shape[2 + axis] - 1) for axis in (0, 1)
    ]
    return F.conv_transpose2d(y, weight, stride=stride, padding=padding, output_padding=missing)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí conv_adjoint: cada valor estampa su filtro, y los solapes se suman.")


# %% [markdown]
# <details><summary>Pista 1: con bucles</summary>
#
# Prepara un lienzo de ceros con el relleno puesto, `(N, C, H + 2 · padding, W + 2 · padding)`. Para cada posición
# `(i, j)` de la señal, suma en la ventana que empieza en `(i · stride, j · stride)` los O filtros, cada uno por su
# valor. Al final, quita el relleno.
# </details>
# <details><summary>Pista 2: con PyTorch</summary>
#
# `F.conv_transpose2d(y, weight, stride=..., padding=...)` hace lo mismo, con los pesos **tal cual**: ni se giran ni se
# transponen. Le falta un dato, `output_padding`: cuántas filas y columnas más quieres.
# </details>
# <details><summary>Pista 3: cuánto falta</summary>
#
# Sin pedirle nada, `conv_transpose2d` devuelve `stride · (h - 1) + kh - 2 · padding` filas. `output_padding` es una
# lista con lo que falta hasta `H` en las filas y hasta `W` en las columnas.
# </details>

# %% nbgrader={"grade": true, "grade_id": "conv-adjoint-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("deconvnet.conv_adjoint", globals())

# %% nbgrader={"grade": true, "grade_id": "conv-adjoint-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("deconvnet.conv_adjoint", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Arriba, lo que estampa un solo 1 en cinco canales de la primera capa de `mini`: su
# filtro de 7×7, ni más ni menos. Abajo, lo que estampa el mapa entero de cada canal ante una fotografía: lo que ese
# canal «devuelve» de la imagen. Y la igualdad, comprobada con tus dos números.


# %%
def draw_stamps():
    weight = mini.block1.conv.weight.detach()
    image = to_tensor(load_photo("chelsea").image, 128)
    maps = F.conv2d(image - 0.5, weight, stride=2, padding=3)
    back = conv_adjoint(maps, weight, 2, 3, (128, 128))
    print(f"⟨Wx, y⟩ = {(maps * maps).sum():.2f}    ⟨x, Wᵀy⟩ = {((image - 0.5) * back).sum():.2f}")
    chosen = weight.flatten(1).norm(dim=1).argsort(descending=True)[:5].tolist()
    stamps, echoes = [], []
    for channel in chosen:
        one = torch.zeros(1, len(weight), 1, 1)
        one[0, channel] = 1
        stamps.append(F.interpolate(signed_rgb(conv_adjoint(one, weight, 1, 0, (7, 7))), size=128, mode="nearest"))
        only = torch.zeros_like(maps)
        only[:, channel] = maps[:, channel].relu()
        echoes.append(signed_rgb(conv_adjoint(only, weight, 2, 3, (128, 128))))
    blank = torch.ones_like(image)
    titles = ["", *(f"canal {c}" for c in chosen), "fotografía"]
    return image_grid(torch.cat([blank, *stamps, image, *echoes]), titles, columns=6)


show(
    draw_stamps,
    alt="Cinco filtros de colores y, debajo, una fotografía de un gato y lo que cada filtro estampa de ella.",
)

# %% [markdown]
# ## Ejercicio 4 · DeconvNet
#
# *30 minutos · dificultad 5 de 5*
#
# Ya sabes bajar por cada capa. Falta el viaje entero: subir hasta una capa apuntando lo necesario, quedarte con **una
# sola unidad** y bajar hasta la imagen.
#
# **Escribe** `deconvnet(model, x, layer, channel)`.
#
# - `model`: una `nn.Sequential` en modo `eval`. Hasta `layer` solo tiene capas `nn.Conv2d` (con sesgo o sin él; paso y
#   relleno de ceros iguales en los dos ejes, sin grupos ni dilatación), `nn.BatchNorm2d`, `nn.ReLU` y `nn.MaxPool2d`
#   (cuadrada). Lo que venga después puede ser cualquier cosa, y no te hace falta.
# - `x`: imágenes `(N, 3, H, W)`.
# - `layer`: el nombre de una de esas capas, como `"relu2"`; la da `model.named_children()`. Su salida es
#   `(N, C, h, w)`.
# - `channel`: el canal que se explica. Un entero, el mismo para todas, **o** un `LongTensor` `(N,)` con uno por imagen.
# - **Devuelve** la señal que llega a la imagen, `(N, 3, H, W)`, con su signo y sin normalizar.
#
# Las reglas, para que no haya dudas:
#
# 1. En cada imagen se elige la unidad **de mayor valor** del canal (no de mayor valor absoluto). La señal empieza
#    siendo **su activación** en esa posición y 0 en todo lo demás: las otras posiciones y los otros canales.
# 2. La señal baja por todas las capas, desde `layer`, incluida, hasta la primera.
# 3. Por una ReLU, con la regla `"deconvnet"`.
# 4. Por un *max-pooling*, con los interruptores de **esta** imagen: los que da `F.max_pool2d` con
#    `return_indices=True` y el mismo `kernel_size`, `stride` y `padding`. Si en una ventana hay empate, vale el que diga
#    esa función.
# 5. Por una convolución, con sus filtros transpuestos y **sin sesgo**.
# 6. Por una BatchNorm, multiplicando cada canal por lo que multiplicaba al subir: `weight / sqrt(running_var + eps)`,
#    con el `eps` de esa capa. Ni media ni sesgo.
# 7. En la imagen no hay ReLU: el resultado conserva lo negativo.
# 8. Cada imagen va por su cuenta. Si el canal está apagado en una (todo a 0 tras su ReLU), no hay nada que bajar y su
#    resultado es 0.
# 9. La red queda **como estaba**: sin ganchos, sin `.grad`, con los mismos parámetros y el mismo modo.
#
# Dos trampas: una `nn.ReLU(inplace=True)` escribe encima de lo que recibe, y la imagen que te dan no debe cambiar ni
# quedar con otro `requires_grad`.


# %% nbgrader={"grade": false, "grade_id": "deconvnet", "locked": false, "schema_version": 3, "solution": true, "task": false}
def deconvnet(model, x, layer, channel):
    """Baja hasta la imagen (N, 3, H, W) la unidad más activa de un canal de `layer`."""
    ### BEGIN SOLUTION
    trail, maps = [], x
    for name, module in model.named_children():
        size, switches = tuple(maps.shape[2:]), None
        if isinstance(module, nn.MaxPool2d):
            maps, switches = F.max_pool2d(maps, module.kernel_size, module.stride, module.padding, return_indices=True)
        elif isinstance(module, nn.ReLU):
            maps = maps.relu()  # así no importa si el módulo escribe encima
        else:
            maps = module(maps)
        trail.append((module, size, switches, maps))
        if name == layer:
            break

    images = torch.arange(len(x))
    flat = maps.flatten(2)
    place = flat[images, channel].argmax(dim=1)
    signal = torch.zeros_like(flat)
    signal[images, channel, place] = flat[images, channel, place]
    signal = signal.unflatten(2, maps.shape[2:])

    for module, size, switches, output in reversed(trail):
        if isinstance(module, nn.ReLU):
            signal = relu_backward(output, signal, "deconvnet")
        elif isinstance(module, nn.MaxPool2d):
            signal = unpool(signal, switches, size)
        elif isinstance(module, nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            signal = signal * scale[:, None, None]
        else:
            signal = conv_adjoint(signal, module.weight, module.stride[0], module.padding[0], size)
    return signal.detach()
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí deconvnet: sube apuntando, quédate con una unidad y baja capa a capa.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Son tres partes. (a) Recorre `model.named_children()` aplicando cada capa y apunta en una lista lo que necesitarás al
# volver: la capa, el alto y el ancho de lo que **entró** y, si agrupa, los interruptores. Párate en `layer`. (b) Haz la
# señal: ceros, y en una posición su activación. (c) Recorre la lista con `reversed` y baja según el tipo de cada capa,
# con `isinstance`.
# </details>
# <details><summary>Pista 2: la unidad más activa, sin bucle</summary>
#
# `maps.flatten(2)[torch.arange(N), channel]` es `(N, h · w)`: el canal de cada imagen, sea `channel` un entero o un
# `LongTensor`. Su `argmax(dim=1)` es la posición, y con los mismos índices se escribe en el tensor de ceros, también
# aplanado.
# </details>
# <details><summary>Pista 3: cada capa</summary>
#
# ReLU: `relu_backward(lo_que_salió, señal, "deconvnet")`. *Pooling*: `unpool(señal, interruptores, tamaño)`.
# Convolución: `conv_adjoint(señal, capa.weight, capa.stride[0], capa.padding[0], tamaño)`. BatchNorm: un producto por
# la escala, con forma `(C, 1, 1)`. Al subir, aplica la ReLU con `maps.relu()`, que siempre hace un tensor nuevo.
# </details>

# %% nbgrader={"grade": true, "grade_id": "deconvnet-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("deconvnet.deconvnet", globals())

# %% nbgrader={"grade": true, "grade_id": "deconvnet-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("deconvnet.deconvnet", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La respuesta para Tomás. De trescientas escenas, las tres que más encienden a tres
# canales del cuarto bloque, con el canal y el valor de su unidad; debajo, el trozo que miraba y lo que tu función baja
# hasta los píxeles. El corazón y las dos lunas del canal 93 no tienen el mismo color ni el mismo tamaño. ¿Qué trazo dibuja
# en los tres?


# %%
def draw_reconstructions():
    scenes = formas(300, seed=3).tensor()
    peaks = capture(row, scenes, ["relu4"])["relu4"].amax((2, 3))
    channels = torch.tensor([93, 49, 95]).repeat_interleave(3)
    best = torch.cat([peaks[:, c].topk(3).indices for c in (93, 49, 95)])
    signal = deconvnet(row, scenes[best], "relu4", channels)
    titles = [f"{c}: {peaks[n, c]:.1f}" for n, c in zip(best, channels, strict=True)]
    return reconstruction_grid(scenes[best], {"deconvnet": signal}, titles, size=1.0)


show(
    draw_reconstructions,
    alt="Nueve escenas, tres por canal, con el trozo que mira la unidad y su reconstrucción: cada canal repite un trazo.",
)

# %% [markdown]
# ## Ejercicio 5 · ¿Responde a lo que se le pregunta?
#
# *15 minutos · dificultad 3 de 5*
#
# Un mapa nítido convence. Pero si explica por qué la red dice «luna», al preguntarle por «pez» debería cambiar. Eso se
# puede medir: se hacen los dos mapas y se compara en qué orden ponen los píxeles.
#
# **Escribe** `class_sensitivity(maps_a, maps_b)`.
#
# - `maps_a`, `maps_b`: mapas de las mismas imágenes para dos clases, `(N, H, W)` o `(N, 3, H, W)`, con signo.
# - **Devuelve** `(N,)`: **1 menos la correlación de Spearman** de los dos mapas de cada imagen, en [0, 2]. 0, el mismo
#   orden; 1, ninguna relación; 2, el orden inverso.
# - La correlación de Spearman es la de Pearson hecha con los **rangos**: cada valor se cambia por el puesto que ocupa en
#   su mapa. Con rangos centrados `u` y `v` es `Σuv / (‖u‖ · ‖v‖)`.
# - Los puestos se dan entre todos los valores de **una** imagen (los de los tres canales juntos), y los valores iguales
#   comparten la **media** de los puestos que ocupan: en 5, 0, 0 los puestos son 3; 1,5 y 1,5.
# - Los mapas se comparan con su signo, y la correlación conserva el suyo.
# - Si uno de los mapas es constante no ordena nada: su correlación vale 0 y el resultado, **1**. Salvo que los dos mapas
#   sean **idénticos**, constantes o no: entonces nada ha cambiado y el resultado es **0**.


# %% nbgrader={"grade": false, "grade_id": "class-sensitivity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def class_sensitivity(maps_a, maps_b):
    """Uno menos la correlación de Spearman de los dos mapas de cada imagen: (N,), en [0, 2]."""
    ### BEGIN SOLUTION
    ranks = []
    for maps in (maps_a, maps_b):
        flat = maps.flatten(1).contiguous()
        ordered = flat.sort(dim=1).values
        below = torch.searchsorted(ordered, flat)  # cuántos son menores
        upto = torch.searchsorted(ordered, flat, right=True)  # cuántos son menores o iguales
        ranks.append((below + upto).to(maps.dtype) / 2 - flat.shape[1] / 2)  # rango medio, ya centrado
    u, v = ranks
    norm = u.norm(dim=1) * v.norm(dim=1)
    correlation = (u * v).sum(dim=1) / torch.where(norm > 0, norm, 1)
    identical = (maps_a == maps_b).flatten(1).all(dim=1)
    return torch.where(identical, 0, 1 - correlation)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí class_sensitivity: rangos de cada mapa, correlación y 1 menos ella.")


# %% [markdown]
# <details><summary>Pista 1: las partes</summary>
#
# (a) `flatten(1)` deja una fila por imagen; (b) cambia cada fila por sus rangos y réstale su media; (c) correlación de
# cada fila; (d) los dos casos especiales.
# </details>
# <details><summary>Pista 2: rangos con empates</summary>
#
# `argsort` dos veces da puestos, pero a los iguales los separa. Mejor contar: si hay `m` valores menores y `k` menores o
# iguales, el puesto medio es `(m + k + 1) / 2`. `torch.searchsorted(ordenados, valores)` da `m`, y con `right=True` da
# `k`. Sumar la misma cantidad a todos los puestos no cambia nada, porque después se centran.
# </details>
# <details><summary>Pista 3: los casos especiales</summary>
#
# Si la norma es 0 divide por 1: cero entre uno es cero, y el resultado es 1. Al final,
# `torch.where(identical, 0, 1 - correlation)`, con `identical = (maps_a == maps_b).flatten(1).all(dim=1)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "class-sensitivity-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("deconvnet.class_sensitivity", globals())

# %% nbgrader={"grade": true, "grade_id": "class-sensitivity-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("deconvnet.class_sensitivity", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una prueba que ningún mapa supera por bonito. En `mini`, la clase más probable contra la
# menos probable: arriba los mapas de la primera y abajo los de la segunda, con tu medida en esa escena; y la media de
# veinte escenas. Con cien (`formas(100, seed=5)`) salen 1,54 para el gradiente, 1,50 para Grad-CAM, 0,29 para DeconvNet
# y 0,12 para la retropropagación guiada. Estas dos dibujan casi lo mismo pregunten lo que les pregunten.


# %%
def draw_sensitivity():
    x = formas(20, seed=5).tensor()
    with torch.no_grad():
        logits = mini(x)
    asked = logits.argmax(1), logits.argmin(1)
    methods = {"gradiente": "backprop", "Grad-CAM": "", "DeconvNet": "deconvnet", "guiada": "guided"}
    tiles, titles = [x[:1], x[:1]], [f"«{SHAPES[k[0]]}»" for k in asked]
    for name, rule in methods.items():
        pair = [input_signal(mini, x, k, rule) if rule else grad_cam(mini, x, k, "block5") for k in asked]
        change = class_sensitivity(*pair)
        print(f"{name:10} {change.mean():.2f}")
        tiles += [signed_rgb(m[:1]) if rule else colorize(m[:1] / m[:1].amax().clamp(min=1e-12)) for m in pair]
        titles += [f"{name}: {change[0]:.2f}", ""]
    by_row = [*range(0, len(tiles), 2), *range(1, len(tiles), 2)]
    return image_grid(torch.cat([tiles[k] for k in by_row]), [titles[k] for k in by_row], columns=5)


show(draw_sensitivity, alt="Los mapas de cuatro métodos para dos clases de una misma escena, y cuánto cambia cada uno.")

# %% [markdown]
# ## Para pensar
#
# Tomás ha colgado tus reconstrucciones en el taller: «el canal 93 busca lunas», ha escrito debajo. Antes de que suelde
# nada, responde en unas líneas: **¿qué *no* demuestra una reconstrucción de DeconvNet?** Piensa, por ejemplo, de dónde
# salen los bordes que dibuja: ¿de los filtros o de los interruptores de esa imagen?
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# No demuestra que la unidad *detecte* lo que reconocemos en el dibujo. La señal baja por los interruptores de una imagen
# concreta, que guardan dónde estaban sus bordes: parte de lo que se ve lo pone la imagen, no la unidad. Por eso es
# nítida, y por eso apenas cambia al preguntar por otra clase (0,29, cuando dos mapas sin relación darían 1): no
# explica por qué la red elige una y no otra. Tampoco es la inversa de la red ni una prueba de causa: la ReLU de la
# bajada borra lo negativo, así que no se ve lo que la apaga, y no sabemos si la unidad influye en la respuesta. Y es
# una sola unidad en sus mejores escenas: «busca lunas» es un nombre nuestro. Para comprobarlo habría que mirar también
# escenas que la encienden poco, borrar o cambiar el trozo y medir si se apaga, y repetir el dibujo con los pesos
# desordenados.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | separa lo que pone la imagen (interruptores) de lo que pone la unidad, usa la medida y propone cómo comprobarlo |
# | bien | da dos límites ciertos (clase, causa, lo negativo, pocas escenas, no es la inversa) sin explicarlos del todo |
# | insuficiente | dice solo que «puede fallar», o toma el dibujo por lo que la unidad busca |

# %% [markdown]
# **Para seguir.** El capítulo 08 del libro recorre la misma bajada con las tres reglas en redes grandes, y cuenta por qué
# dos de ellas se parecen más a un dibujante que a un testigo.
