# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 02 · Filtros
#
# Elvira lleva el control de calidad de una tejeduría. Una cámara mira pasar la tela y una red avisa de los hilos rotos:
# los de la urdimbre, que van a lo largo, y los de la trama, que los cruzan. Con la última versión ha llegado una lámina
# de treinta y dos cuadraditos de colores y una frase: «estos son los filtros; como ve, ha aprendido a ver bordes».
#
# Los cuadraditos son bonitos, y Elvira desconfía de lo bonito. ¿Qué hace un filtro con una imagen? ¿Qué significa que
# un trozo sea gris? ¿Los hay para los dos sentidos del hilo? Y que parezcan bordes, ¿qué prueba?
#
# En este cuaderno escribes las cuatro funciones que contestan a Elvira. Las pruebas con `mini`, una red pequeña que
# reconoce figuras y de la que lo tenemos todo, hasta los filtros con los que nació.
#
# **Al terminar sabrás**
#
# - calcular el tamaño de la salida de cualquier convolución;
# - escribir lo que hace una capa convolucional, y por qué no es la convolución de los libros de matemáticas;
# - dibujar unos filtros sin que el dibujo mienta;
# - medir qué orientación prefiere cada filtro, y cuánto te puedes fiar de esa preferencia.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `conv_output_size` | 10 | 2 de 5 | 4 de 5 |
# | 2 | `cross_correlate2d` | 25 | 3 de 5 | 5 de 5 |
# | 3 | `normalize_filters` | 15 | 2 de 5 | 4 de 5 |
# | 4 | `orientation_tuning` | 30 | 4 de 5 | 4 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** Una imagen es un tensor `(C, H, W)`: C canales de H filas y W columnas; la fila 0 es la de
# arriba. Un **banco de filtros** es `(O, C, kh, kw)`, como el peso de una `nn.Conv2d`: O filtros y, en cada uno, un
# **núcleo** (*kernel*) de kh filas y kw columnas por canal de entrada. Los resultados se quedan en el dispositivo y el
# tipo de lo que llega, y lo que llega no se modifica. Cualquier manera correcta de escribirlo vale, con bucles o sin
# ellos; lo único que no puedes hacer es llamar a la función de `convlab` que se te pide.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from convlab.data.photos import load_photo, to_tensor
from convlab.exercises import grade, show
from convlab.filters import first_layer_weight
from convlab.hooks import capture
from convlab.models import load_checkpoints, load_model
from convlab.plots import COLORS, STYLE, image_grid

mini = load_model("mini")  # la red de la que vas a mirar los filtros

# %% [markdown]
# ## Un ejemplo resuelto: un filtro, en un solo sitio
#
# Un filtro es una plantilla de números. Se pone sobre un trozo de la imagen del mismo tamaño, su **ventana**; se
# multiplica número a número y se suma todo. Sale un solo número: la **respuesta** en ese sitio. Es grande si el trozo
# se parece a la plantilla, y muy negativa si se parece a su contraria.
#
# Con un filtro de 3 × 3 que busca «oscuro a la izquierda, claro a la derecha» se puede seguir a mano.

# %%
edge = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
light_right = torch.tensor([[0.0, 0.5, 1.0]]).expand(3, 3)
print("claro a la derecha: ", (edge * light_right).sum().item())
print("claro a la izquierda:", (edge * light_right.flip(1)).sum().item())
print("liso:", (edge * torch.ones(3, 3)).sum().item())

bank, window = torch.randn(5, 3, 3, 3), torch.rand(3, 3, 3)  # cinco filtros y una ventana de tres canales
print("cinco respuestas de una vez:", tuple((bank * window).sum(dim=(1, 2, 3)).shape))

rows, columns = torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")
print("fila de cada sitio:", rows.tolist())
print("columna de cada sitio:", columns.tolist())

# %% [markdown]
# Tres detalles que te harán falta:
#
# - Un banco `(5, 3, 3, 3)` por una ventana `(3, 3, 3)` da un producto `(5, 3, 3, 3)`: PyTorch repite la ventana para
#   cada filtro. Al sumar los ejes 1, 2 y 3 queda una respuesta por filtro.
# - Un filtro tiene un núcleo por canal, pero da **una** respuesta: los canales también se suman.
# - `torch.meshgrid(..., indexing="ij")` da la fila y la columna de cada sitio, en ese orden. La fila crece hacia
#   **abajo**; importará en el ejercicio 4.

# %% [markdown]
# ## Ejercicio 1 · ¿Cuántas veces cabe?
#
# *10 minutos · dificultad 2 de 5*
#
# Un filtro recorre una fila de píxeles y se para en algunos sitios. Cada parada es un número de la salida. ¿Cuántas
# hay? Con esta cuenta sabrás el tamaño de cualquier capa antes de ejecutarla, y por qué una red protesta cuando le
# llega una imagen pequeña.
#
# **Escribe** `conv_output_size(n, kernel, stride=1, padding=0, dilation=1)`. Todos son enteros, en píxeles:
#
# - `n`: los píxeles de la fila.
# - `kernel`: los pesos del filtro en esa dirección.
# - `stride`, el **paso**: cuánto avanza el filtro de una parada a la siguiente.
# - `padding`, el **relleno**: píxeles que se añaden en **cada** extremo de la fila.
# - `dilation`, la **dilatación**: la distancia entre dos pesos vecinos del filtro. Con 1 están pegados; con 2 queda un
#   píxel en medio. Un núcleo de 3 con dilatación 2 abarca 5 píxeles.
# - **Devuelve** un `int`: en cuántos sitios cabe el filtro **entero**. La primera parada es el principio de la fila, ya
#   rellena, y lo que sobra al final sin llegar a un paso se descarta.
#
# Los tres últimos tienen un valor por omisión: `conv_output_size(10, 3)` da 8. El filtro cabe siempre al menos una vez;
# no hace falta prever lo contrario. Un paso puede ser mayor que el núcleo, y la cuenta es la misma.


# %% nbgrader={"grade": false, "grade_id": "conv-output-size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conv_output_size(n, kernel, stride=1, padding=0, dilation=1):
    """En cuántos sitios de una fila de n píxeles se para un filtro."""
    ### BEGIN SOLUTION
    extent = dilation * (kernel - 1) + 1  # los píxeles que abarca el filtro, de su primer peso al último
    return (n + 2 * padding - extent) // stride + 1
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí conv_output_size: en cuántos sitios de la fila cabe el filtro entero.")


# %% [markdown]
# <details><summary>Pista 1: hazlo a mano</summary>
#
# Dibuja 10 casillas y un filtro de 3. ¿Dónde puede empezar? En la primera, en la segunda… ¿y la última? Ahora avanza de
# dos en dos. Ahora añade una casilla por cada lado.
# </details>
# <details><summary>Pista 2: por partes</summary>
#
# Primero, cuánto mide la fila con su relleno. Después, cuánto abarca el filtro: k pesos tienen k − 1 separaciones, y
# cada una mide `dilation`. La resta dice cuánto puede moverse.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Lo que puede moverse, entre el paso y sin decimales (`//`), son los movimientos. Las paradas son una más.
# </details>

# %% nbgrader={"grade": true, "grade_id": "conv-output-size-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("filters.conv_output_size", globals())

# %% nbgrader={"grade": true, "grade_id": "conv-output-size-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("filters.conv_output_size", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** El lado de los mapas de tres redes, capa a capa, con tu función y sin ejecutar
# ninguna. De `mini`, además, se comprueba con la red de verdad. Mira las formas de bajar: AlexNet se desploma en la
# primera capa, con un paso de 4; VGG-16 va a escalones, y solo encoge en las capas de *pooling* (agrupación).

# %%
POOL, SAME = (2, 2, 0), (3, 1, 1)  # (núcleo, paso, relleno); el pooling se cuenta igual que una convolución
NETWORKS = {
    "mini": (64, [(7, 1, 3), POOL, SAME, POOL, SAME, POOL, SAME, SAME]),
    "AlexNet": (224, [(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), SAME, SAME, SAME, (3, 2, 0)]),
    "VGG-16": (224, [SAME] * 2 + [POOL] + [SAME] * 2 + [POOL] + ([SAME] * 3 + [POOL]) * 3),
}


def draw_sizes():
    sides = {}
    for name, (side, layers) in NETWORKS.items():
        sides[name] = [side]
        for kernel, stride, padding in layers:
            sides[name].append(conv_output_size(sides[name][-1], kernel, stride, padding))
    names = ["block1.conv", "block1", "block2.conv", "block2", "block3.conv", "block3", "block4", "block5"]
    real = capture(mini, torch.rand(1, 3, 64, 64), names)
    print("mini, con tu función:", sides["mini"][1:])
    print("mini, de verdad:     ", [real[name].shape[-1] for name in names])
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
        for (name, values), color in zip(sides.items(), COLORS, strict=False):
            axis.plot(values, "o-", drawstyle="steps-post", markersize=3, color=color)
            axis.annotate(f"{name}: {values[-1]}", (len(values) - 1, values[-1]), (6, -3), textcoords="offset points")
        axis.set_yscale("log", base=2)
        ticks = [7, 14, 28, 56, 112, 224]
        axis.set_yticks(ticks, [str(tick) for tick in ticks])
        axis.set_xticks(range(0, 19, 2))
        axis.set_xlim(-0.3, 21.5)
        axis.set_xlabel("capas recorridas")
        axis.set_ylabel("lado del mapa")
        axis.grid(alpha=0.3)
        plt.close(figure)
    return figure


show(draw_sizes, alt="El lado de los mapas de mini, AlexNet y VGG-16 según las capas recorridas, siempre a la baja.")

# %% [markdown]
# ## Ejercicio 2 · Deslizar un filtro
#
# *25 minutos · dificultad 3 de 5*
#
# Repite el ejemplo resuelto en todos los sitios de la imagen y tendrás una capa convolucional. En los libros de
# matemáticas, la convolución voltea el filtro antes de deslizarlo; las redes no lo hacen, y lo que calculan se llama en
# rigor **correlación cruzada**. Da igual para aprender, pero no para mirar: si los filtros salieran volteados, un
# detector de «claro a la derecha» parecería lo contrario.
#
# **Escribe** `cross_correlate2d(x, weight, stride=1, padding=0)`.
#
# - `x`: una imagen `(C, H, W)`, sin eje de lote.
# - `weight`: un banco de filtros `(O, C, kh, kw)`, del mismo tipo que `x`. Los núcleos pueden no ser cuadrados.
# - `stride`: el paso, igual en las dos direcciones.
# - `padding`: filas y columnas de **ceros** que se añaden en cada uno de los cuatro lados.
# - **Devuelve** `(O, H', W')`, con los lados de tu `conv_output_size`. El valor en la fila i y la columna j del mapa o es
#   la suma de `weight[o]` por la ventana de la imagen, ya rellena, que empieza en la fila `i * stride` y en la columna
#   `j * stride`.
#
# Las reglas, para que no haya dudas:
#
# 1. El filtro se usa **tal como viene**, sin voltearlo ni trasponerlo.
# 2. Se **suman** los canales y no se divide por nada.
# 3. No hay sesgo, ni ReLU, ni dilatación.
# 4. El filtro, con el relleno, cabe siempre al menos una vez.
#
# `F.conv2d` hace justo esto, y la comprobación no te impide usarla; pero entonces no habrás escrito nada. Déjala para
# comparar.


# %% nbgrader={"grade": false, "grade_id": "cross-correlate2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cross_correlate2d(x, weight, stride=1, padding=0):
    """Respuesta (O, H', W') de un banco de filtros (O, C, kh, kw) en todos los sitios de una imagen (C, H, W)."""
    ### BEGIN SOLUTION
    kh, kw = weight.shape[2:]
    height = conv_output_size(x.shape[1], kh, stride, padding)
    width = conv_output_size(x.shape[2], kw, stride, padding)
    padded = F.pad(x, [padding] * 4)  # izquierda, derecha, arriba y abajo
    result = x.new_zeros(len(weight), height, width)
    for i in range(height):
        for j in range(width):
            top, left = i * stride, j * stride
            window = padded[:, top : top + kh, left : left + kw]
            result[:, i, j] = (weight * window).sum(dim=(1, 2, 3))
    return result
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí cross_correlate2d: rellena, recorre las ventanas, multiplica y suma.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Rodea la imagen de ceros, calcula el tamaño de la salida, crea un tensor para ella y recórrelo con dos bucles. En cada
# sitio: recorta la ventana, multiplica y suma, como en el ejemplo resuelto.
# </details>
# <details><summary>Pista 2: rellenar y crear la salida</summary>
#
# `F.pad(x, [padding] * 4)` añade ceros a la izquierda, a la derecha, arriba y abajo. `x.new_zeros(O, H', W')` crea un
# tensor de ceros del tipo y en el dispositivo de `x`; `torch.zeros` los olvidaría.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Dentro de los bucles, la ventana es `padded[:, i * stride : i * stride + kh, j * stride : j * stride + kw]`, y
# `(weight * ventana).sum(dim=(1, 2, 3))` son las O respuestas, que van a `result[:, i, j]`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "cross-correlate2d-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("filters.cross_correlate2d", globals())

# %% nbgrader={"grade": true, "grade_id": "cross-correlate2d-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("filters.cross_correlate2d", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una pared de ladrillo, vista por cuatro filtros de `mini` con tu función. Arriba, cada
# filtro (la suma de sus tres canales); debajo, su respuesta: rojo si es positiva, azul si es negativa. El filtro 11
# marca las juntas horizontales y el 22, las verticales: son la trama y la urdimbre de Elvira.


# %%
def draw_responses():
    x = to_tensor(load_photo("brick").image, size=112)[0]
    chosen = [11, 22, 0, 14]
    weight = first_layer_weight(mini)[chosen]
    responses = cross_correlate2d((x - 0.5) / 0.25, weight, padding=3)  # mini centra así sus imágenes por dentro
    gap = (responses - F.conv2d((x - 0.5)[None] / 0.25, weight, padding=3)[0]).abs().max()
    print(f"mayor diferencia con F.conv2d: {gap:.0e}")
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(7.4, 2.6), layout="constrained")
        axes = figure.subplots(2, 5, height_ratios=(1, 2.4))
        axes[0, 0].set_axis_off()
        axes[1, 0].imshow(x.permute(1, 2, 0))
        axes[1, 0].set_title("imagen")
        for column, (index, kernel, response) in enumerate(zip(chosen, weight.sum(1), responses, strict=True), start=1):
            for axis, values in zip(axes[:, column], (kernel, response[3:-3, 3:-3]), strict=True):
                largest = values.abs().max()
                axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
            axes[0, column].set_title(f"filtro {index}")
        for axis in axes.flat:
            axis.set_axis_off()
        plt.close(figure)
    return figure


show(draw_responses, alt="Una pared de ladrillo y la respuesta de cuatro filtros, cada uno a las juntas en un sentido.")

# %% [markdown]
# ## Ejercicio 3 · Que el gris sea cero
#
# *15 minutos · dificultad 2 de 5*
#
# Un peso puede valer −0,03 o 0,11; un píxel va de 0 a 1. Para ver un filtro hay que traducir, y la traducción decide lo
# que se ve. Si cada filtro se estira por su cuenta, uno que apenas hace nada parece tan importante como los demás; y si
# se lleva el mínimo a negro y el máximo a blanco, el cero cae en cualquier gris.
#
# **Escribe** `normalize_filters(weight)`.
#
# - `weight`: un banco `(O, C, kh, kw)`, con pesos de cualquier tamaño y signo.
# - **Devuelve** un tensor de la misma forma, en [0, 1]: `0,5 + w / (2 · M)`, donde M es el mayor **valor absoluto** de
#   **todo** el banco: de todos los filtros, canales y posiciones.
# - Así el peso 0 es siempre 0,5, y el peso más fuerte del banco queda en 1 si es positivo o en 0 si es negativo. El otro
#   extremo puede no alcanzarse.
# - Un banco con todos los pesos a 0 no pesa nada: todo 0,5, sin NaN.
#
# La trampa es no dividir por cero sumando un número pequeño a M. Hay redes con pesos minúsculos, y con ellos ese
# número manda: divide por el M exacto y trata aparte el banco de ceros. Y recuerda que `weight` puede ser el peso de una
# red de verdad: nada de `/=`.


# %% nbgrader={"grade": false, "grade_id": "normalize-filters", "locked": false, "schema_version": 3, "solution": true, "task": false}
def normalize_filters(weight):
    """Pesos en [0, 1] para verlos: el cero en 0,5 y una sola escala para todo el banco."""
    ### BEGIN SOLUTION
    largest = weight.abs().max()
    if largest == 0:
        return torch.full_like(weight, 0.5)
    return 0.5 + weight / (2 * largest)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí normalize_filters: 0,5 más el peso entre dos veces el mayor del banco.")


# %% [markdown]
# <details><summary>Pista 1: ¿qué recta es?</summary>
#
# Tres puntos la fijan: −M va a 0, 0 va a 0,5 y M va a 1. ¿Cuánto sube por cada unidad de peso?
# </details>
# <details><summary>Pista 2: el mayor de todo el banco</summary>
#
# `weight.abs().max()`, sin ejes, mira el tensor entero. Sin `abs`, se olvidaría de los pesos negativos.
# </details>
# <details><summary>Pista 3: el banco de ceros</summary>
#
# Si el máximo es 0, devuelve `torch.full_like(weight, 0.5)`, que copia la forma, el tipo y el dispositivo.
# </details>

# %% nbgrader={"grade": true, "grade_id": "normalize-filters-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("filters.normalize_filters", globals())

# %% nbgrader={"grade": true, "grade_id": "normalize-filters-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("filters.normalize_filters", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Dieciséis de los 32 filtros de `mini` en cuatro momentos de su entrenamiento, del ruido
# inicial a los definitivos. Arriba, cada momento con su propia escala: se ve aparecer el dibujo. Abajo, los mismos pesos
# con una escala común a los cuatro: al principio todo es gris. Las dos filas dicen la verdad y cuentan cosas distintas,
# la forma y la fuerza. Por eso hay que decir qué escala se usó.


# %%
def mosaic(bank, columns=4):
    """Un banco de filtros en color `(O, 3, k, k)`, ya en [0, 1], como una sola imagen."""
    tiles = F.pad(bank, [1] * 4, value=1.0).unflatten(0, (-1, columns))
    return tiles.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)


def draw_growth():
    checkpoints = load_checkpoints("mini")
    steps = [0, 50, 200, max(checkpoints)]
    banks = torch.stack([first_layer_weight(checkpoints[step]) for step in steps])
    own = [normalize_filters(bank) for bank in banks]
    common = normalize_filters(banks.flatten(0, 1)).unflatten(0, banks.shape[:2])
    largest = [f"{bank.abs().max():.3f}".replace(".", ",") for bank in banks]
    titles = [f"paso {step}" for step in steps] + [f"mayor peso: {value}" for value in largest]
    images = torch.stack([mosaic(bank[:16]) for bank in [*own, *common]])
    return image_grid(images, titles, columns=len(steps), size=1.9)


show(
    draw_growth, alt="Filtros en cuatro pasos: con escala propia, del ruido al dibujo; con escala común, desde el gris."
)

# %% [markdown]
# ## Ejercicio 4 · ¿Qué orientación prefiere?
#
# *30 minutos · dificultad 4 de 5*
#
# «El filtro 11 parece de líneas horizontales» es una impresión. Para medirla se hace lo que se hizo con las neuronas de
# la corteza visual: enseñarle **rejillas**, barras claras y oscuras que se alternan con suavidad, giradas en cada
# ángulo, y apuntar cuánto responde. El resultado se llama **curva de sintonía**.
#
# **Escribe** `orientation_tuning(weight, angles)`.
#
# - `weight`: un banco de filtros cuadrados `(O, C, k, k)`, con k de 2 en adelante.
# - `angles`: A ángulos en **radianes**, en un tensor `(A,)` del tipo de los pesos **o** en una lista de números. Pueden
#   ser negativos o de más de una vuelta. No se modifican.
# - **Devuelve** `(O, A)`: la energía de la respuesta de cada filtro a cada orientación.
#
# Las reglas, para que no haya dudas:
#
# 1. El ángulo θ es el de las **barras**, tal como se ven: 0, horizontales; π/4, las que suben hacia la derecha, «/»;
#    π/2, verticales. La intensidad varía en la dirección perpendicular. Con x la columna e y la fila (hacia abajo), la
#    rejilla de f ciclos por píxel vale `cos(2π·f·(x·sen θ + y·cos θ))` en cada sitio del filtro.
# 2. La rejilla es gris: la **misma en todos los canales**. La respuesta es producto y suma en un solo sitio, con la
#    rejilla como ventana.
# 3. Se usan **dos** rejillas, la del coseno y la del seno, que es la misma un cuarto de onda más allá. La **energía** es
#    la suma de los cuadrados de las dos respuestas, y no depende de dónde pongas el origen de x e y.
# 4. Se suman las energías de las frecuencias f = m/k, con m = 1, 2, … hasta ⌊k/2⌋, incluido. Ni la frecuencia 0, que no
#    tiene barras, ni las de más de 0,5 ciclos por píxel, que se confunden con otras más lentas.
# 5. Es energía: ni raíz, ni media, ni división por el máximo.
#
# ¿Por qué dos rejillas? Un filtro de bordes, negro a un lado y blanco al otro, no responde nada a una rejilla que tenga
# su máximo justo en el centro: lo blanco y lo negro se compensan. Un cuarto de onda más allá, responde del todo.


# %% nbgrader={"grade": false, "grade_id": "orientation-tuning", "locked": false, "schema_version": 3, "solution": true, "task": false}
def orientation_tuning(weight, angles):
    """Energía (O, A) de la respuesta de cada filtro a rejillas con las barras en cada ángulo."""
    ### BEGIN SOLUTION
    count, _, k, _ = weight.shape
    gray = weight.sum(dim=1)  # con la misma rejilla en todos los canales, basta la suma de los núcleos
    theta = torch.as_tensor(angles, dtype=weight.dtype, device=weight.device)[:, None, None]
    side = torch.arange(k).to(weight)  # del tipo y en el dispositivo de los pesos
    y, x = torch.meshgrid(side, side, indexing="ij")
    across = x * theta.sin() + y * theta.cos()  # (A, k, k)
    energy = weight.new_zeros(count, len(theta))
    for m in range(1, k // 2 + 1):
        phase = 2 * math.pi * m / k * across
        even = torch.einsum("oyx,ayx->oa", gray, phase.cos())
        odd = torch.einsum("oyx,ayx->oa", gray, phase.sin())
        energy += even**2 + odd**2
    return energy
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí orientation_tuning: rejillas de coseno y seno, respuestas y energía.")


# %% [markdown]
# <details><summary>Pista 1: una rejilla, un filtro</summary>
#
# Empieza con un ángulo, una frecuencia y un filtro. `torch.meshgrid` te da la fila y la columna de cada sitio; con ellas
# y la fórmula de la regla 1 tienes la rejilla, `(k, k)`. Dibújala: en θ = 0 las barras deben ser horizontales.
# </details>
# <details><summary>Pista 2: los canales y la lista</summary>
#
# Como la rejilla es igual en todos los canales, puedes sumar antes los núcleos del filtro: `weight.sum(dim=1)`. Y
# `torch.as_tensor(angles, dtype=weight.dtype)` convierte una lista y deja como está un tensor.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Con `theta` de forma `(A, 1, 1)`, `x * theta.sin() + y * theta.cos()` es `(A, k, k)`: todas las orientaciones a la vez.
# Para cada m de `range(1, k // 2 + 1)`, multiplica por `2 * math.pi * m / k`, toma el coseno y el seno, y
# `torch.einsum("oyx,ayx->oa", …)` hace el producto y la suma de cada filtro con cada rejilla. Acumula la suma de los dos
# cuadrados.
# </details>

# %% nbgrader={"grade": true, "grade_id": "orientation-tuning-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("filters.orientation_tuning", globals())

# %% nbgrader={"grade": true, "grade_id": "orientation-tuning-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("filters.orientation_tuning", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Las curvas de sintonía de cinco filtros de `mini` y de dos filtros de puro ruido, cada
# una relativa a su máximo (y cada filtro, dibujado con su propia escala). Los lóbulos apuntan en la dirección de las
# barras que prefiere cada uno: el filtro 11, casi horizontales; el 22, verticales. El 7, un anillo, responde más o menos
# igual a todas.
#
# Y ahora lo que una lámina no cuenta: **el ruido también tiene preferencias**. La **selectividad** va de 0 (responde
# igual a todo) a 1 (a una sola orientación). La de mil filtros al azar, de mediana, casi iguala la de los de `mini`; los
# dos del dibujo son los más selectivos de los 32 primeros. Que un filtro tenga una orientación favorita no prueba que
# nadie la haya aprendido.


# %%
def draw_tuning():
    noise = torch.randn(1000, 3, 7, 7, generator=torch.Generator().manual_seed(2))
    robust = load_model("mini-robusta")  # la volverás a encontrar al final
    banks = {"ruido": noise, "mini": first_layer_weight(mini), "mini-robusta": first_layer_weight(robust)}
    angles = torch.arange(72) * (math.pi / 36)
    curves = {name: orientation_tuning(bank, angles) for name, bank in banks.items()}
    selectivity = {name: (c * torch.exp(2j * angles)).sum(1).abs() / c.sum(1) for name, c in curves.items()}
    print("             selectividad mediana   responden diez veces más a una orientación que a otra")
    for name, curve in curves.items():
        clear = (curve.amax(1) >= 10 * curve.amin(1)).float().mean()
        print(f"{name:12} {selectivity[name].quantile(0.5):20.2f}   {100 * clear:.0f} %")
    noisy = selectivity["ruido"][:32].topk(2).indices.tolist()
    chosen = [("mini", unit) for unit in (11, 0, 22, 14, 7)] + [("ruido", unit) for unit in noisy]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(7.6, 2.7), layout="constrained")
        for k, (name, unit) in enumerate(chosen, start=1):
            axis = figure.add_subplot(2, len(chosen), k)
            axis.imshow(normalize_filters(banks[name][[unit]])[0].permute(1, 2, 0), interpolation="nearest")
            axis.set_title(f"{name} {unit}")
            axis.set_axis_off()
            polar = figure.add_subplot(2, len(chosen), len(chosen) + k, projection="polar")
            curve = curves[name][unit] / curves[name][unit].max()
            polar.fill(angles, curve, color=COLORS[0 if name == "mini" else 4], alpha=0.5)
            polar.set_ylim(0, 1)
            polar.set_yticks([])
            polar.set_xticks([0, math.pi / 2, math.pi, 3 * math.pi / 2], ["0", "π/2", "", ""], fontsize=7)
            polar.tick_params(pad=-3)
        plt.close(figure)
    return figure


show(draw_tuning, alt="Siete filtros y su curva de sintonía: cinco de mini y dos de ruido, que también tienen lóbulos.")

# %% [markdown]
# ## Para pensar
#
# Un dato más, de las fichas de las dos redes. `mini-robusta` se entrenó para resistir perturbaciones que apenas se ven.
# Con imágenes limpias las dos aciertan casi siempre (98,9 % `mini`, 99,8 % `mini-robusta`); con el mismo ataque, un PGD
# de 20 pasos con ε = 4/255, `mini` acierta el 27,5 % y `mini-robusta`, el 97 %. Pero lo lisos que son los filtros de su
# primera capa apenas las distingue: la rugosidad media, que es 0 en un filtro plano y ronda 1 en el ruido, es de 0,14 en
# una y de 0,16 en la otra.
#
# Vuelve a la lámina de Elvira y responde en unas líneas: **¿qué *no* demuestra el aspecto de unos filtros?** Piensa, por
# ejemplo, en un filtro que parece un borde: ¿significa que la red lo usa?, ¿que lo aprendió?, ¿que la red es buena?
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# El aspecto no demuestra que la red **use** un filtro: las capas siguientes pueden no mirarlo, y para saberlo hay que
# anularlo y ver si cambia la respuesta. Tampoco que lo haya **aprendido**: un filtro de ruido también prefiere alguna
# orientación, así que hay que compararlo con los iniciales. No demuestra que la red sea **buena ni robusta**: `mini` y
# `mini-robusta` tienen filtros casi igual de lisos, y una cae ante el ataque que la otra resiste. (La segunda sí tiene
# filtros más selectivos; pero una diferencia entre dos redes no dice que sea esa la causa.) La fuerza que se ve depende
# de la **escala** con que se dibuja y, si detrás hay BatchNorm, ni siquiera el tamaño de los pesos significa nada. Lo
# contrario tampoco vale: que unos filtros parezcan ruido no prueba que la red sea mala. Y todo esto es la primera capa:
# las demás no ven píxeles, y sus núcleos no son imágenes. Lo que sí dice el aspecto es qué patrón enciende a cada filtro.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | separa lo que un filtro detecta de lo que la red usa, propone un control (ruido, anularlo) y da otro límite |
# | bien | da dos límites ciertos (uso, aprendizaje, calidad de la red, escala, capas profundas) sin decir cómo comprobarlos |
# | insuficiente | dice solo que «los dibujos engañan», o toma unos filtros bonitos por prueba de que la red es buena |

# %% [markdown]
# **Para seguir.** El capítulo 02 del libro mira los filtros por sus frecuencias, sigue su crecimiento desde el ruido y
# baja a las capas profundas, donde ya no hay colores que ver y hace falta otra manera de leer los pesos.
