# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 09 · Grad-CAM
#
# Lucía tiene una red que reconoce figuras. Acierta casi siempre, y cuando ve un corazón dice «corazón». Un día le
# enseña una estrella con una etiqueta pequeña en la esquina, y la red, muy segura, responde «corazón».
#
# ¿Qué ha pasado? Los corazones con los que se entrenó venían casi todos del mismo archivo, y el archivo ponía su
# etiqueta. La red no aprendió corazones: aprendió etiquetas. El porcentaje de aciertos no lo cuenta. Hace falta ver
# **dónde** mira.
#
# En este cuaderno escribes la función que se lo enseña, **Grad-CAM**, y la usas para descubrir a la red tramposa.
#
# **Al terminar sabrás**
#
# - sacar de una red la salida de una capa y la derivada de un *logit* respecto de ella;
# - escribir Grad-CAM y su antecesor, CAM, y decir cuándo son lo mismo;
# - dibujar un mapa sobre su imagen sin falsearlo;
# - medir si un mapa acierta, en vez de fiarte de la vista.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `channel_weights` | 5 | 1 de 5 | 3 de 5 |
# | 2 | `grad_cam` | 25 | 4 de 5 | 5 de 5 |
# | 3 | `cam` | 15 | 3 de 5 | 3 de 5 |
# | 4 | `overlay` | 15 | 2 de 5 | 3 de 5 |
# | 5 | `iou_at_threshold` | 20 | 4 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** `model` es una red en modo `eval` que recibe imágenes `(N, 3, H, W)` en [0, 1] y
# devuelve logits `(N, K)`: N imágenes, K clases. Los resultados se quedan en el dispositivo y el tipo de lo que
# llega, y lo que llega no se modifica. Cualquier manera correcta de escribirlo vale, con bucles o sin ellos; lo único
# que no puedes hacer es llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import torch
from torch import nn
from torch.nn import functional as F

from convlab.data.formas import SHAPES, WATERMARK_CLASS, formas
from convlab.exercises import grade, show
from convlab.hooks import activation_and_gradient
from convlab.models import load_model
from convlab.plots import colorize, image_grid

mini = load_model("mini")  # la red que explicas; al final conocerás a la tramposa, «mini-atajo»

# %% [markdown]
# ## Un ejemplo resuelto: mirar dentro con un gancho
#
# Una red se ejecuta de un tirón: entra `x`, salen los logits. Para quedarse con la salida de una capa de en medio,
# PyTorch ofrece los **ganchos** (*hooks*): una función tuya a la que la capa avisa cada vez que se ejecuta. Y
# `torch.autograd.grad` da la derivada de un número respecto de cualquier tensor que haya intervenido en él.
#
# Con una red diminuta se puede comprobar a mano. Termina en la suma de sus mapas multiplicada por 3, así que cada
# posición de cada mapa debe tener derivada 3.

# %%
tiny = nn.Sequential(nn.Conv2d(3, 2, kernel_size=3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 2 * 2, 1, bias=False))
nn.init.constant_(tiny[3].weight, 3.0)

kept = {}
hook = tiny.get_submodule("1").register_forward_hook(lambda _module, _inputs, output: kept.update(maps=output))
try:
    logits = tiny(torch.rand(1, 3, 4, 4))  # al pasar por la capa «1», el gancho guarda su salida
finally:
    hook.remove()  # pase lo que pase, la red queda como estaba

(gradient,) = torch.autograd.grad(logits.sum(), kept["maps"])
print("mapas:", tuple(kept["maps"].shape), "· derivada:", gradient.unique().tolist())

# %% [markdown]
# Tres detalles que te harán falta:
#
# - El gancho se quita en un `finally`. Si se queda puesto, la siguiente persona que use la red tendrá un invitado que
#   no espera.
# - Se usa `torch.autograd.grad`, que devuelve la derivada, y no `.backward()`, que la deja guardada en los parámetros
#   de la red.
# - Si el gancho devuelve algo, eso sustituye a la salida de la capa. Parece una rareza; en el ejercicio 2 es muy
#   útil.

# %% [markdown]
# ## Ejercicio 1 · ¿Cuánto pesa cada canal?
#
# *5 minutos · dificultad 1 de 5*
#
# Una capa convolucional produce C mapas. Para saber si a una clase le conviene que un canal se encienda, se mira la
# derivada de su logit en todas las posiciones de ese canal y se hace la media.
#
# **Escribe** `channel_weights(gradients)`.
#
# - `gradients`: tensor `(N, C, h, w)`, la derivada del logit respecto de la salida de la capa, una por imagen.
# - **Devuelve** un tensor `(N, C)`: la media de cada canal de cada imagen sobre sus `h · w` posiciones.
# - La media es **espacial**: ni sobre los canales ni sobre las imágenes. Conserva el signo.


# %% nbgrader={"grade": false, "grade_id": "channel-weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def channel_weights(gradients):
    """Media espacial del gradiente de cada canal: (N, C, h, w) → (N, C)."""
    ### BEGIN SOLUTION
    return gradients.mean(dim=(2, 3))
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí channel_weights: la media espacial de cada canal, (N, C, h, w) → (N, C).")


# %% [markdown]
# <details><summary>Pista 1: ¿qué ejes desaparecen?</summary>
#
# Entra `(N, C, h, w)` y sale `(N, C)`. Los que faltan a la salida son los que se promedian.
# </details>
# <details><summary>Pista 2: ¿cómo se promedian dos ejes a la vez?</summary>
#
# `tensor.mean(dim=...)` acepta una tupla de ejes.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Los ejes son el 2 y el 3. Es una sola línea, sin `abs` ni `relu`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "channel-weights-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("gradcam.channel_weights", globals())

# %% nbgrader={"grade": true, "grade_id": "channel-weights-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("gradcam.channel_weights", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Los tres canales que más empujan a `mini` a decir «corazón» y los tres que más tiran
# en contra, con su peso según tu función. ¿Se encienden en los mismos sitios?


# %%
def draw_channels():
    x = formas(10, seed=40).tensor()[[WATERMARK_CLASS]]
    maps, gradients = activation_and_gradient(mini, x, "block5", lambda logits: logits[:, WATERMARK_CLASS])
    weights = channel_weights(gradients)[0]
    order = weights.argsort(descending=True)
    chosen = torch.cat([order[:3], order[-3:]])
    tiles = F.interpolate(maps[:, chosen], size=64, mode="nearest")[0]
    tiles = tiles / tiles.amax((1, 2), keepdim=True).clamp(min=1e-6)
    return image_grid(torch.cat([x, colorize(tiles)]), ["imagen", *(f"peso {weights[c]:+.4f}" for c in chosen)])


show(draw_channels, alt="Un corazón y seis mapas de canales de la última capa, con el peso de cada uno.")

# %% [markdown]
# ## Ejercicio 2 · Grad-CAM
#
# *25 minutos · dificultad 4 de 5*
#
# Ya tienes las dos piezas: **dónde** se enciende cada canal (su mapa) y **cuánto** le importa a la clase (su peso).
# Grad-CAM las junta: suma los mapas, cada uno por su peso, y se queda con lo que empuja a favor.
#
# **Escribe** `grad_cam(model, x, target, layer)`.
#
# - `model`: la red. `x`: imágenes `(N, 3, H, W)` en [0, 1].
# - `target`: la clase que se explica. Un entero, la misma para todas, **o** un `LongTensor` `(N,)` con una por
#   imagen. No tiene por qué ser la que la red elegiría.
# - `layer`: nombre con puntos de una capa cuya salida es `(N, C, h, w)`; por ejemplo `"block5"` en `mini`.
# - **Devuelve** los mapas `(N, H, W)`, del tamaño de las imágenes.
#
# Las reglas, para que no haya dudas:
#
# 1. Se deriva el **logit** de la clase, no la probabilidad (*softmax*) ni la pérdida.
# 2. El peso de un canal es la media **espacial** de su gradiente: tu `channel_weights`.
# 3. Se suman los canales y **después** se aplica la ReLU: sobre la suma, no sobre los pesos ni sobre cada producto.
# 4. Se amplía de `(h, w)` a `(H, W)` con interpolación **bilineal** y `align_corners=False`. Primero la ReLU, después
#    ampliar.
# 5. El mapa **no se normaliza**: ni por su máximo ni por el del lote.
# 6. Cada imagen va por su cuenta: su mapa no depende de con quién comparta el lote.
# 7. La red queda **como estaba**: sin ganchos, sin `.grad`, con los mismos `requires_grad` y el mismo modo. También
#    si algo falla.
#
# Dos trampas del mundo real. Hay redes con los parámetros congelados (`requires_grad=False`), y entonces la salida de
# la capa no lleva grafo del que derivar. Y hay redes cuya siguiente capa escribe encima de lo que recibe
# (`nn.ReLU(inplace=True)`): lo que tu gancho guardó cambia a tus espaldas.


# %% nbgrader={"grade": false, "grade_id": "grad-cam", "locked": false, "schema_version": 3, "solution": true, "task": false}
def grad_cam(model, x, target, layer):
    """Mapas de Grad-CAM (N, H, W) del logit `target` en la capa `layer`, sin normalizar."""
    ### BEGIN SOLUTION
    kept = {}

    def cut(_module, _inputs, output):
        kept["maps"] = output.detach().requires_grad_()  # el grafo empieza aquí, aunque la red esté congelada
        return kept["maps"].clone()  # lo que venga después puede escribir en la copia

    hook = model.get_submodule(layer).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits = model(x)
            score = logits[torch.arange(len(x)), target].sum()  # ninguna imagen influye en el logit de otra
            (gradients,) = torch.autograd.grad(score, kept["maps"])
    finally:
        hook.remove()
    weights = channel_weights(gradients)
    heat = (weights[:, :, None, None] * kept["maps"].detach()).sum(dim=1, keepdim=True).relu()
    return F.interpolate(heat, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí grad_cam: captura la capa, deriva el logit, suma canales, ReLU y amplía.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Son cinco pasos: (a) pon un gancho que guarde la salida de `layer`, como en el ejemplo resuelto; (b) ejecuta la red
# y quita el gancho en un `finally`; (c) reúne en un número los logits que te interesan; (d) deriva ese número
# respecto de lo guardado; (e) suma, ReLU y amplía.
# </details>
# <details><summary>Pista 2: una clase por imagen, sin bucle</summary>
#
# `logits[torch.arange(N), target]` escoge un logit por fila y vale tanto para un entero como para un `LongTensor`.
# Puedes sumarlos todos antes de derivar: en modo `eval` el logit de una imagen no depende de las demás, así que cada
# una recibe su propio gradiente.
# </details>
# <details><summary>Pista 3: las dos trampas</summary>
#
# Haz que el gancho guarde `output.detach().requires_grad_()`, un tensor nuevo desde el que empieza el grafo, y que
# **devuelva** una copia suya con `.clone()`. La red sigue con la copia: si alguien escribe encima, lo tuyo no cambia.
# Y si quien te llama está dentro de `torch.no_grad()`, `torch.enable_grad()` vuelve a encender las derivadas.
# </details>

# %% nbgrader={"grade": true, "grade_id": "grad-cam-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("gradcam.grad_cam", globals())

# %% nbgrader={"grade": true, "grade_id": "grad-cam-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("gradcam.grad_cam", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Cinco escenas de Formas y, debajo, tu mapa de la figura verdadera. El trazo es el
# contorno exacto del objeto, que conocemos porque las escenas las generamos. ¿El calor cae dentro?


# %%
def draw_maps():
    scenes = formas(5, seed=7)
    x = scenes.tensor()
    heat = grad_cam(mini, x, torch.from_numpy(scenes.shape), "block5")
    colored = colorize(heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12))
    outlines = torch.from_numpy(scenes.mask)
    names = [SHAPES[k] for k in scenes.shape]
    return image_grid(torch.cat([x, colored]), names, columns=5, outlines=torch.cat([outlines & False, outlines]))


show(draw_maps, alt="Cinco escenas y sus mapas de calor, con el contorno del objeto encima de cada mapa.")

# %% [markdown]
# ## Ejercicio 3 · CAM, el antecesor
#
# *15 minutos · dificultad 3 de 5*
#
# Un año antes de Grad-CAM ya existía CAM. Sirve para redes que acaban de una manera concreta: media espacial de cada
# mapa y una capa lineal. En ellas no hace falta derivar nada, porque los pesos de la capa lineal ya dicen cuánto
# importa cada canal.
#
# **Escribe** `cam(features, fc_weight, target)`.
#
# - `features`: los mapas que entran en la media espacial, `(N, C, h, w)`.
# - `fc_weight`: los pesos de la capa lineal, `(K, C)`; la fila k es la de la clase k.
# - `target`: un entero **o** un `LongTensor` `(N,)`.
# - **Devuelve** los mapas `(N, h, w)`: la suma de los canales, cada uno por el peso que le da su clase.
# - **Sin** ReLU: el signo se queda. **Sin** ampliar: el tamaño es el de la capa. Sin sesgo y sin dividir por nada.


# %% nbgrader={"grade": false, "grade_id": "cam", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cam(features, fc_weight, target):
    """Mapas de CAM (N, h, w): suma de los canales con los pesos de la clase, con su signo."""
    ### BEGIN SOLUTION
    weights = fc_weight[target].expand(len(features), -1)  # (C,) si target es un entero, (N, C) si hay uno por imagen
    return (weights[:, :, None, None] * features).sum(dim=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí cam: la suma de los canales, cada uno por el peso de su clase.")


# %% [markdown]
# <details><summary>Pista 1: ¿qué fila?</summary>
#
# `fc_weight[target]` es `(C,)` si `target` es un entero y `(N, C)` si es un `LongTensor`. Haz que los dos casos
# acaben siendo `(N, C)`.
# </details>
# <details><summary>Pista 2: multiplicar pesos por mapas</summary>
#
# Los pesos `(N, C)` y los mapas `(N, C, h, w)` se multiplican si añades dos ejes al final: `weights[:, :, None,
# None]`.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `expand(len(features), -1)` repite una fila las veces que haga falta y deja como está lo que ya es `(N, C)`.
# Después, producto y suma en el eje 1.
# </details>

# %% nbgrader={"grade": true, "grade_id": "cam-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("gradcam.cam", globals())

# %% nbgrader={"grade": true, "grade_id": "cam-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("gradcam.cam", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** `mini` acaba en media espacial y capa lineal, así que tus dos funciones deben contar lo
# mismo: la parte positiva de CAM, dividida entre las h · w posiciones y ampliada, **es** Grad-CAM. Y como CAM conserva
# el signo, enseña además lo que va en contra. Aquí la clase es «estrella» para las cuatro escenas, y solo una lo es:
# ¿qué hace el objeto en las otras tres?


# %%
def draw_cam():
    scenes, star = formas(4, seed=11), SHAPES.index("estrella")
    x = scenes.tensor()
    features, _ = activation_and_gradient(mini, x, "block5", lambda logits: logits[:, star])
    signed = cam(features, mini.fc.weight.detach(), star)
    height, width = features.shape[2:]
    from_cam = F.interpolate(signed.relu()[:, None] / (height * width), size=x.shape[2:], mode="bilinear")[:, 0]
    gap = (from_cam - grad_cam(mini, x, star, "block5")).abs().max()
    print(f"mayor diferencia entre tu CAM y tu Grad-CAM: {gap:.1e}")
    scale = signed.abs().amax((1, 2), keepdim=True)
    parts = [F.interpolate((part.relu() / scale)[:, None], size=64, mode="nearest")[:, 0] for part in (signed, -signed)]
    titles = [SHAPES[k] for k in scenes.shape] + ["a favor"] * 4 + ["en contra"] * 4
    return image_grid(torch.cat([x, *map(colorize, parts)]), titles, columns=4)


show(draw_cam, alt="Cuatro escenas; debajo, las celdas de CAM a favor de «estrella» y, más abajo, las contrarias.")

# %% [markdown]
# ## Ejercicio 4 · El mapa sobre la imagen
#
# *15 minutos · dificultad 2 de 5*
#
# Un mapa suelto se entiende mal. Ponlo encima de la imagen, con cuidado: la manera de repartir los colores puede
# inventar calor donde no lo hay.
#
# **Escribe** `overlay(image, heat, alpha=0.5)`.
#
# - `image`: imágenes `(N, 3, H, W)` en [0, 1]. `heat`: mapas `(N, H, W)` del mismo tamaño.
# - `alpha`: opacidad del mapa, en [0, 1]. Con 0 se ve solo la imagen; con 1, solo el mapa.
# - **Devuelve** `(N, 3, H, W)`: `(1 - alpha) * image + alpha * color`.
# - Antes de colorear, los valores negativos pasan a 0 y **cada mapa se divide por su propio máximo**, no por el del
#   lote.
# - Un mapa sin nada positivo **se queda a cero**: nada de NaN, y nada de repartir colores a la fuerza.
# - El color lo pone `colorize`, de `convlab.plots`, que ya tienes importada: recibe mapas `(N, H, W)` en [0, 1] y
#   devuelve `(N, 3, H, W)`.


# %% nbgrader={"grade": false, "grade_id": "overlay", "locked": false, "schema_version": 3, "solution": true, "task": false}
def overlay(image, heat, alpha=0.5):
    """Imágenes (N, 3, H, W) con su mapa de calor (N, H, W) encima."""
    ### BEGIN SOLUTION
    positive = heat.clamp(min=0)
    peak = positive.amax(dim=(1, 2), keepdim=True)
    normalized = positive / torch.where(peak > 0, peak, 1)  # un mapa nulo se divide por 1 y sigue siendo nulo
    return (1 - alpha) * image + alpha * colorize(normalized)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí overlay: cada mapa entre su máximo, colorize y mezcla con la imagen.")


# %% [markdown]
# <details><summary>Pista 1: un máximo por imagen</summary>
#
# `amax(dim=(1, 2), keepdim=True)` da un máximo por mapa con forma `(N, 1, 1)`, lista para dividir.
# </details>
# <details><summary>Pista 2: dividir por cero</summary>
#
# Si el máximo es 0, divide por 1: cero entre uno es cero. `torch.where` elige entre dos valores.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `clamp(min=0)` → máximo por mapa → `positive / torch.where(peak > 0, peak, 1)` → `colorize` → mezcla. Sin sumar un
# épsilon al máximo: con mapas muy pequeños, ese épsilon manda.
# </details>

# %% nbgrader={"grade": true, "grade_id": "overlay-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("gradcam.overlay", globals())

# %% nbgrader={"grade": true, "grade_id": "overlay-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("gradcam.overlay", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** La historia del principio: tres figuras que no son corazones, con la etiqueta en una
# esquina. Debajo, el mapa de lo que responde `mini`, que acierta; y más abajo, el de lo que responde `mini-atajo`. Lo
# has descubierto con dos funciones tuyas.


# %%
def draw_shortcut():
    shortcut = load_model("mini-atajo")
    scenes = formas(40, seed=40, variant="watermark_all")
    x, shape = scenes.tensor(), torch.from_numpy(scenes.shape)
    with torch.no_grad():
        right, tricked = mini(x).argmax(1) == shape, shortcut(x).argmax(1) == WATERMARK_CLASS
    chosen = (right & tricked & (shape != WATERMARK_CLASS)).nonzero()[:3, 0]
    x, shape = x[chosen], shape[chosen]
    rows = [
        x,
        overlay(x, grad_cam(mini, x, shape, "block5")),
        overlay(x, grad_cam(shortcut, x, WATERMARK_CLASS, "block5")),
    ]
    answers = [f"mini: {SHAPES[k]}" for k in shape] + [f"mini-atajo: {SHAPES[WATERMARK_CLASS]}"] * len(chosen)
    return image_grid(torch.cat(rows), [SHAPES[k] for k in shape] + answers, columns=len(chosen), size=1.8)


show(
    draw_shortcut,
    alt="Tres figuras con etiqueta; el calor de mini está en la figura y el de mini-atajo, en la etiqueta.",
)

# %% [markdown]
# ## Ejercicio 5 · ¿Acierta el mapa?
#
# *20 minutos · dificultad 4 de 5*
#
# «El calor cae en el objeto» es una impresión. Hagámosla un número: la **intersección entre unión** (IoU) de la zona
# caliente y la máscara verdadera del objeto. 1 es coincidencia exacta; 0, no se tocan.
#
# **Escribe** `iou_at_threshold(heat, mask, fraction)`.
#
# - `heat`: mapas `(N, H, W)`. `mask`: máscaras booleanas `(N, H, W)`. `fraction`: un número en [0, 1].
# - La zona caliente de cada imagen son los píxeles con `heat >= fraction * máximo`, con el máximo **de esa imagen**.
#   El umbral **se incluye** (`>=`).
# - Si el máximo de un mapa es 0 o negativo, su zona está vacía y su IoU es **0**.
# - **Devuelve** `(N,)` con valores en [0, 1]: píxeles comunes entre píxeles de la unión. Si la unión está vacía, 0.


# %% nbgrader={"grade": false, "grade_id": "iou-at-threshold", "locked": false, "schema_version": 3, "solution": true, "task": false}
def iou_at_threshold(heat, mask, fraction):
    """IoU (N,) de la máscara y la zona donde el mapa llega a `fraction` de su máximo."""
    ### BEGIN SOLUTION
    peak = heat.amax(dim=(1, 2), keepdim=True)
    region = (heat >= fraction * peak) & (peak > 0)
    common = (region & mask).sum(dim=(1, 2))
    union = (region | mask).sum(dim=(1, 2))
    return common.to(heat.dtype) / union.clamp(min=1)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí iou_at_threshold: zona caliente de cada imagen, comunes entre unión.")


# %% [markdown]
# <details><summary>Pista 1: operar con máscaras</summary>
#
# Entre tensores booleanos, `&` es la intersección y `|`, la unión. `.sum(dim=(1, 2))` cuenta los píxeles de cada
# imagen.
# </details>
# <details><summary>Pista 2: el mapa que nunca es positivo</summary>
#
# Si el máximo es 0, `heat >= fraction * 0` se cumple en todas partes. Añade la condición `peak > 0` con un `&`.
# </details>
# <details><summary>Pista 3: la división</summary>
#
# `union.clamp(min=1)` evita dividir por cero y no cambia nada más: una unión vacía tiene intersección 0. Y el
# resultado lleva el tipo de `heat`: `common.to(heat.dtype)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "iou-at-threshold-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("gradcam.iou_at_threshold", globals())

# %% nbgrader={"grade": true, "grade_id": "iou-at-threshold-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("gradcam.iou_at_threshold", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una medida. El IoU medio de tus mapas de `mini` con el objeto en cien escenas, según
# el umbral; y, en `mini-atajo`, con la caja de la etiqueta. La figura enseña por qué importa el umbral: la zona
# (clara) y el contorno del objeto.


# %%
def draw_iou():
    fractions, shortcut = (0.2, 0.35, 0.5, 0.65, 0.8), load_model("mini-atajo")
    scenes, tagged = formas(100, seed=5), formas(100, seed=5, variant="watermark_all")
    x, target, mask = scenes.tensor(), torch.from_numpy(scenes.shape), torch.from_numpy(scenes.mask)
    heat = grad_cam(mini, x, target, "block5")
    heat_tag = grad_cam(shortcut, tagged.tensor(), WATERMARK_CLASS, "block5")
    box = torch.from_numpy(tagged.watermark)
    print("umbral   mini y objeto   mini-atajo y etiqueta")
    for fraction in fractions:
        scores = iou_at_threshold(heat, mask, fraction).mean(), iou_at_threshold(heat_tag, box, fraction).mean()
        print(f"{fraction:6.2f}   {scores[0]:13.2f}   {scores[1]:21.2f}")
    regions = torch.stack([(heat[0] >= f * heat[0].max()).float() for f in fractions])
    tiles = regions[:, None] * 0.8 + 0.2 * x[:1]
    return image_grid(tiles, [f"umbral {f:g}" for f in fractions], outlines=mask[:1].expand(len(fractions), -1, -1))


show(draw_iou, alt="La zona caliente de una escena con cinco umbrales, cada vez menor, y el contorno del objeto.")

# %% [markdown]
# ## Para pensar
#
# Tus mapas han descubierto a la red tramposa. Antes de fiarte de ellos siempre, responde en unas líneas: **¿qué *no*
# demuestra un mapa de Grad-CAM?** Piensa, por ejemplo, en una zona fría: ¿significa que la red no la usa?
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# Un mapa no demuestra que la zona caliente *cause* la respuesta: es una aproximación de primer orden, y para saberlo
# hay que tapar la zona y ver si el logit baja. Tampoco demuestra que la zona fría no importe: la ReLU borra lo que va
# en contra, y la media espacial puede anular gradientes de signo opuesto. No dice *qué* ve la red ahí (forma, color o
# textura), y no distingue nada más fino que una celda de la capa. Que el calor caiga en el objeto tampoco prueba que
# la red acierte por buenas razones: la etiqueta estaba en una esquina, pero un atajo puede estar en el objeto.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | distingue indicio de causa, propone cómo comprobarlo (tapar y medir) y da otro límite con su porqué |
# | bien | da dos límites ciertos (causa, zonas frías, qué ve ahí, resolución, buenas razones) sin explicarlos del todo |
# | insuficiente | dice solo que «puede fallar», o toma el mapa por prueba de lo que la red mira |

# %% [markdown]
# **Para seguir.** El capítulo 09 del libro mide Grad-CAM contra controles (un mapa al azar, un Gauss centrado) y lo
# somete a una prueba que muchos métodos no pasan: desordenar los pesos de la red y ver si el mapa se entera.
