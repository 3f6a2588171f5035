# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lección 03 · Maximización de la activación
#
# Teo ilustra cuentos. Una amiga le ha dejado una red que reconoce figuras, y él, que se gana la vida dibujando, le
# pide lo que le pediría a cualquier colega: «dibújame una estrella, como tú la imaginas».
#
# La red no sabe dibujar: solo sabe decir cuánto le parece estrella lo que ve. Pero eso basta. Se empieza con una hoja
# gris, se pregunta hacia dónde habría que cambiar cada píxel para que diga «estrella» un poco más alto, y se cambia.
# Y otra vez. Al cabo de unas decenas de pasos hay un dibujo en la hoja, y no es el que Teo esperaba.
#
# En este cuaderno escribes ese lápiz, pieza a pieza: es la **maximización de la activación**.
#
# **Al terminar sabrás**
#
# - subir por el gradiente de una red sin tocar ni uno de sus pesos: lo que cambia es la imagen;
# - medir cuánto varía una imagen de un píxel a otro, y por qué el ascenso sin más acaba en ruido;
# - escribir una imagen como suma de ondas, y volver;
# - hacer la imagen que más enciende un canal o una clase, y compararla con un control.
#
# | ejercicio | qué escribes | minutos | dificultad | importancia |
# |---|---|---|---|---|
# | 1 | `total_variation` | 8 | 1 de 5 | 3 de 5 |
# | 2 | `ascent_step` | 15 | 2 de 5 | 5 de 5 |
# | 3 | `fft_image` | 20 | 3 de 5 | 4 de 5 |
# | 4 | `image_spectrum` | 10 | 2 de 5 | 2 de 5 |
# | 5 | `maximize` | 35 | 5 de 5 | 5 de 5 |
#
# **Cómo se trabaja.** Cada ejercicio tiene un enunciado, una celda para tu función, pistas plegadas (ábrelas de una
# en una, cuando te hagan falta), una comprobación que te dice qué falla y por qué, y una figura hecha con *tu*
# función. Puedes comprobar las veces que quieras. Al calificar se prueban además otros casos: una función que solo
# vale para un ejemplo no pasa.
#
# **Lo que vale para todos.** Las imágenes son tensores `(N, 3, H, W)`, y `model` es una red en modo `eval` que las
# recibe en [0, 1]. Los resultados se quedan en el dispositivo y el tipo de lo que llega, y lo que llega no se
# modifica: ni los tensores ni la red. Cualquier manera correcta de escribirlo vale, con bucles o sin ellos; lo único
# que no puedes hacer es llamar a la función de `convlab` que se te pide. En el último ejercicio tampoco vale
# `optimize`, que es la misma con otro nombre.

# %% nbgrader={"grade": false, "grade_id": "preparacion", "locked": true, "schema_version": 3, "solution": false, "task": false}
import torch

from convlab.data.formas import SHAPES, formas
from convlab.data.photos import load_photo, to_tensor
from convlab.exercises import grade, show
from convlab.models import load_model
from convlab.plots import image_grid
from convlab.plots.maximization import maximization_grid

mini = load_model("mini")  # la red a la que Teo le pide dibujos: 10 figuras, imágenes de 64×64

# %% [markdown]
# ## Un ejemplo resuelto: subir una cuesta con Adam
#
# Entrenar es bajar: se cambian los pesos para que la pérdida disminuya. Aquí se sube, y lo que se cambia es otra
# cosa. En miniatura: buscamos el número `v`, entre 0 y 1, que hace mayor la altura `1 − (v − 0,8)²`. Sabemos que es
# 0,8; a ver si el ascenso lo encuentra.


# %%
def climb(scale):
    """Sube la altura, multiplicada por `scale`, y devuelve el `v` de un paso de cada veinte y el del último."""
    z = torch.zeros(1, requires_grad=True)  # el parámetro, que puede valer cualquier cosa
    optimizer = torch.optim.Adam([z], lr=0.1, maximize=True)  # Adam, cuesta arriba
    path = []
    for _ in range(100):
        v = torch.sigmoid(z)  # de cualquier número a uno entre 0 y 1
        height = scale * (1 - (v - 0.8) ** 2).sum()
        (z.grad,) = torch.autograd.grad(height, z)
        optimizer.step()
        path.append(torch.sigmoid(z).item())
    return [f"{v:.3f}" for v in path[::20] + path[-1:]]


print("altura tal cual:      ", *climb(1.0))
print("altura entre un millón:", *climb(1e-6))

# %% [markdown]
# Tres detalles que te harán falta:
#
# - `torch.sigmoid` mantiene a `v` entre 0 y 1 sin prohibirle nada a `z`. No hay que recortar.
# - `torch.autograd.grad` devuelve la derivada y no la guarda en ningún sitio: se la damos a `z.grad` y **sustituye** a
#   la del paso anterior. Con `.backward()` se sumarían, y además quedarían gradientes en los pesos de la red.
# - Una cuesta un millón de veces más suave da casi el mismo paseo. El paso de Adam mide alrededor de `lr`, sea cual
#   sea el tamaño del gradiente. El de un gradiente sin normalizar sería un millón de veces más corto.

# %% [markdown]
# ## Ejercicio 1 · ¿Cuánto varía una imagen?
#
# *8 minutos · dificultad 1 de 5*
#
# Teo llama «ruidoso» a un dibujo en el que ningún punto se parece al de al lado. Hagámoslo un número: la **variación
# total** suma cuánto cambia la imagen entre cada píxel y el siguiente, hacia abajo y hacia la derecha.
#
# **Escribe** `total_variation(x)`.
#
# - `x`: imágenes `(N, C, H, W)`, con valores cualesquiera.
# - **Devuelve** un tensor `(N,)`: para cada imagen, la suma de `|x[i+1, j] − x[i, j]|` y de `|x[i, j+1] − x[i, j]|`
#   en todos sus píxeles y canales.
# - Es una **suma**, no una media, y cada diferencia va en **valor absoluto**, sin cuadrados ni raíces.
# - Solo son vecinos los píxeles contiguos de un mismo canal y una misma imagen. El último de una fila no es vecino
#   del primero: hay H − 1 diferencias verticales por columna y W − 1 horizontales por fila.
# - Si la imagen tiene un solo píxel de alto o de ancho, en ese eje no hay nada que sumar.


# %% nbgrader={"grade": false, "grade_id": "total-variation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def total_variation(x):
    """Variación total de cada imagen: (N, C, H, W) → (N,)."""
    ### BEGIN SOLUTION
    down = x.diff(dim=2).abs().sum(dim=(1, 2, 3))
    right = x.diff(dim=3).abs().sum(dim=(1, 2, 3))
    return down + right
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí total_variation: diferencias entre vecinos, en valor absoluto y sumadas.")


# %% [markdown]
# <details><summary>Pista 1: restar vecinos sin bucles</summary>
#
# `x[:, :, 1:] - x[:, :, :-1]` resta a cada fila la anterior. `x.diff(dim=2)` hace lo mismo.
# </details>
# <details><summary>Pista 2: dos sumas, no una</summary>
#
# Las diferencias verticales son `(N, C, H−1, W)` y las horizontales, `(N, C, H, W−1)`. No se pueden sumar entre sí:
# suma cada una por separado y junta los totales.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `.abs().sum(dim=(1, 2, 3))` con cada una. El eje 0, el de las imágenes, se queda.
# </details>

# %% nbgrader={"grade": true, "grade_id": "total-variation-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("maximization.total_variation", globals())

# %% nbgrader={"grade": true, "grade_id": "total-variation-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("maximization.total_variation", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una regla para medir el ruido. Aquí, cuatro imágenes de 64×64 ordenadas por tu
# variación total. Guarda los números en la memoria: al final querrás saber a cuál de ellas se parece el dibujo de la
# red.


# %%
def draw_variation():
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    photo, scene = to_tensor(load_photo("chelsea").image, 64), formas(1, seed=9).tensor()
    images = torch.cat([torch.full_like(noise, 0.5), photo, scene, noise])
    order = total_variation(images).argsort()
    return image_grid(images[order], [f"{v:.0f}" for v in total_variation(images)[order]], size=1.8)


show(
    draw_variation, alt="Un gris liso, una escena de Formas, un gato y ruido, con su variación total, de menor a mayor."
)

# %% [markdown]
# ## Ejercicio 2 · Un paso cuesta arriba
#
# *15 minutos · dificultad 2 de 5*
#
# El gradiente de un objetivo respecto de la **imagen** dice hacia dónde mover cada píxel para que el objetivo suba.
# Un paso en esa dirección es todo el secreto. En 2013 se le añadió una penalización, para que los píxeles no crecieran
# sin freno: lo que sube es `f(x) − (l2 / 2) · ‖x‖²`.
#
# **Escribe** `ascent_step(x, objective, lr, l2)`.
#
# - `x`: imágenes `(N, C, H, W)`, con valores cualesquiera.
# - `objective`: una función que recibe imágenes y devuelve un valor por imagen, `(N,)`, **o** uno solo. Si son varios
#   se deriva su **suma**: cada imagen sube por lo suyo. Puede llevar dentro una red, congelada o no.
# - `lr`: la tasa de aprendizaje. `l2`: el peso de la penalización, un número desde 0.
# - **Devuelve** `x + lr · (gradiente − l2 · x)`, un tensor nuevo de la misma forma. Gradiente y penalización se
#   calculan los dos en la imagen de partida.
# - El gradiente se usa **tal cual**: ni su signo ni normalizado. El resultado **no se recorta**.
# - Lo que devuelves **no lleva grafo** (`requires_grad` es `False`), y debe funcionar aunque quien llame esté dentro de
#   `torch.no_grad()`.


# %% nbgrader={"grade": false, "grade_id": "ascent-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ascent_step(x, objective, lr, l2):
    """Un paso de ascenso por el objetivo menos su penalización: imágenes (N, C, H, W) → (N, C, H, W)."""
    ### BEGIN SOLUTION
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    x = x.detach()
    return x + lr * (gradient - l2 * x)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí ascent_step: deriva el objetivo respecto de x y da un paso hacia arriba.")


# %% [markdown]
# <details><summary>Pista 1: derivar respecto de la imagen</summary>
#
# Haz una copia que lleve la cuenta: `leaf = x.detach().clone().requires_grad_()`. Evalúa el objetivo en ella y
# derívalo con `torch.autograd.grad(…, leaf)`.
# </details>
# <details><summary>Pista 2: uno o varios valores</summary>
#
# `.sum()` sirve para los dos casos: de un `(N,)` hace un número, y un número lo deja como está.
# </details>
# <details><summary>Pista 3: dentro de `no_grad`</summary>
#
# `with torch.enable_grad():` vuelve a encender las derivadas mientras las necesitas. La cuenta final, `x + lr *
# (gradient - l2 * x)`, hazla con `x` sin grafo y no con `leaf`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "ascent-step-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("maximization.ascent_step", globals())

# %% nbgrader={"grade": true, "grade_id": "ascent-step-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("maximization.ascent_step", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Un ascenso de verdad. Se parte de un círculo y se sube el logit de «estrella» con tu
# paso, treinta veces. La red acaba segurísima de ver una estrella. ¿La ves tú? A la derecha, lo que ha cambiado,
# aumentado 15 veces.


# %%
def draw_ascent():
    star, scene = SHAPES.index("estrella"), formas(1, seed=12).tensor()
    frames = [scene]
    for _ in range(30):
        frames.append(ascent_step(frames[-1], lambda image: mini(image)[:, star], 0.01, 0.0).clamp(0, 1))
    shown = torch.cat([frames[i] for i in (0, 10, 20, 30)])
    with torch.no_grad():
        logits = mini(shown)
    titles = [f"«{SHAPES[row.argmax()]}»; estrella: {row[star]:.1f}" for row in logits]
    change = (0.5 + 15 * (shown[-1:] - scene)).clamp(0, 1)
    print(f"cambio medio por píxel: {(shown[-1] - scene).abs().mean():.3f}")
    return image_grid(torch.cat([shown, change]), [*titles, "el cambio, × 15"], columns=5, size=2.2)


show(draw_ascent, alt="Un círculo que apenas cambia mientras la red pasa a verlo como estrella, y el cambio: ruido.")

# %% [markdown]
# Nada que un ilustrador firmaría. Píxel a píxel, el camino más corto hacia arriba es un ruido casi invisible (en la
# lección 10 volverás a encontrarlo, hecho a mala idea). Si queremos un dibujo, hay que dejar de mover píxeles sueltos.

# %% [markdown]
# ## Ejercicio 3 · Una imagen hecha de ondas
#
# *20 minutos · dificultad 3 de 5*
#
# Cualquier imagen es una suma de ondas: unas lentas, que pintan zonas grandes, y otras rápidas, que pintan detalles.
# En las fotos las lentas mandan: la amplitud de una onda es, más o menos, inversamente proporcional a su frecuencia
# `f`. La idea es escribir la imagen con un número por **onda**, y que cada onda pese `1/f`. Mover un poco esos números
# cambia formas enteras, y no píxeles sueltos.
#
# **Escribe** `fft_image(spectrum, size)`.
#
# - `spectrum`: tensor complejo `(N, 3, H, W//2 + 1)`, en el orden de `torch.fft.rfft2`. Guarda solo la mitad: la otra
#   se deduce, porque la imagen es real.
# - `size`: la tupla `(H, W)`. Hace falta: con `W//2 + 1` columnas, el ancho puede ser par o impar.
# - **Devuelve** la imagen `(N, 3, H, W)`, real (de `complex64` sale `float32`): la transformada inversa `irfft2` de
#   `spectrum / f`, con `norm="ortho"`.
# - `f` es la frecuencia de cada coeficiente en **ciclos por píxel**: `√(fy² + fx²)`. La vertical, `fy`, la da
#   `torch.fft.fftfreq(H)`; la horizontal, `fx`, `torch.fft.rfftfreq(W)`.
# - `f` nunca baja de `1 / max(H, W)`, una vuelta en el lado mayor. Así la media, cuya frecuencia es 0, no se divide por
#   cero y pesa `max(H, W)`.
# - Es una función lineal: sin sigmoide y sin recortar.


# %% nbgrader={"grade": false, "grade_id": "fft-image", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fft_image(spectrum, size):
    """Imagen (N, 3, H, W) de un espectro (N, 3, H, W//2 + 1) cuyas ondas pesan 1/f."""
    ### BEGIN SOLUTION
    height, width = size
    vertical, horizontal = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    f = torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(size))
    return torch.fft.irfft2(spectrum / f.to(spectrum.real), s=size, norm="ortho")
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí fft_image: divide cada coeficiente por su frecuencia e invierte.")


# %% [markdown]
# <details><summary>Pista 1: una tabla de frecuencias</summary>
#
# `fy` son H números y `fx`, W//2 + 1. Para combinarlos en una tabla `(H, W//2 + 1)`, ponle a `fy` un eje al final:
# `fy[:, None]`.
# </details>
# <details><summary>Pista 2: la hipotenusa y el mínimo</summary>
#
# `torch.hypot(fy[:, None], fx)` y `.clamp(min=1 / max(H, W))`.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# `torch.fft.irfft2(spectrum / f, s=(H, W), norm="ortho")`. El `s=` no es opcional: sin él, un ancho impar vuelve con
# un píxel menos. Y `f.to(spectrum.real)` le da a `f` la precisión y el dispositivo del espectro.
# </details>

# %% nbgrader={"grade": true, "grade_id": "fft-image-visible", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
grade("maximization.fft_image", globals())

# %% nbgrader={"grade": true, "grade_id": "fft-image-oculta", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("maximization.fft_image", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Los mismos números al azar, leídos de dos maneras. Arriba, como ondas que pesan todas
# igual: ruido. Abajo, con tu `fft_image`: manchas y nubes. Sin saber nada de ninguna red, el peso 1/f ya propone
# formas.


# %%
def draw_waves():
    size, generator = (64, 64), torch.Generator().manual_seed(1)
    spectrum = torch.view_as_complex(torch.randn(4, 3, 64, 33, 2, generator=generator))
    same_weight = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    natural = fft_image(spectrum, size)
    rows = [torch.sigmoid(x / x.std()) for x in (same_weight, natural)]
    return image_grid(torch.cat(rows), ["todas pesan igual"] * 4 + ["pesan 1/f"] * 4, columns=4, size=1.8)


show(draw_waves, alt="Cuatro imágenes de ruido fino y, debajo, las cuatro manchas suaves que da el mismo azar con 1/f.")

# %% [markdown]
# ## Ejercicio 4 · De la imagen a sus ondas
#
# *10 minutos · dificultad 2 de 5*
#
# El camino de vuelta: qué espectro hay que darle a `fft_image` para que pinte una imagen concreta. Sirve para empezar
# un ascenso en una foto, y para mirar de qué ondas está hecha.
#
# **Escribe** `image_spectrum(image)`.
#
# - `image`: imágenes reales `(N, 3, H, W)`, con valores cualesquiera.
# - **Devuelve** el espectro complejo `(N, 3, H, W//2 + 1)`, en el orden de `rfft2`, tal que
#   `fft_image(image_spectrum(x), (H, W))` es `x`. De `float32` sale `complex64`; de `float64`, `complex128`.
# - Deshace cada paso de `fft_image`: la misma `norm="ortho"`, la misma `f` y el mismo mínimo.


# %% nbgrader={"grade": false, "grade_id": "image-spectrum", "locked": false, "schema_version": 3, "solution": true, "task": false}
def image_spectrum(image):
    """Espectro (N, 3, H, W//2 + 1) de una imagen (N, 3, H, W): la inversa de fft_image."""
    ### BEGIN SOLUTION
    height, width = image.shape[2:]
    vertical, horizontal = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    f = torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(height, width))
    return torch.fft.rfft2(image, norm="ortho") * f.to(image)
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí image_spectrum: rfft2 y, como fft_image dividía por f, multiplicar por f.")


# %% [markdown]
# <details><summary>Pista 1: deshacer en orden contrario</summary>
#
# `fft_image` divide por `f` y después invierte la transformada. Aquí primero se transforma y después…
# </details>
# <details><summary>Pista 2: la función que transforma</summary>
#
# `torch.fft.rfft2(image, norm="ortho")` da ya la mitad que se guarda.
# </details>
# <details><summary>Pista 3: casi la solución</summary>
#
# Multiplica por la misma tabla `f` del ejercicio 3, mínimo incluido. Si la media se multiplicara por cero, no habría
# forma de recuperarla.
# </details>

# %% nbgrader={"grade": true, "grade_id": "image-spectrum-visible", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
grade("maximization.image_spectrum", globals())

# %% nbgrader={"grade": true, "grade_id": "image-spectrum-oculta", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("maximization.image_spectrum", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Una foto, rehecha con tus dos funciones y cada vez más ondas: solo las que dan hasta
# 2, 5, 12 y 30 vueltas en la imagen, y al final todas. Debajo, en números, por qué se reparte el peso: sin él, las
# ondas lentas de esta foto son unas 40 veces mayores que las rápidas; con tu espectro, poco más del doble, y un mismo
# paso sirve para todas.


# %%
def draw_spectrum():
    photo = to_tensor(load_photo("astronaut").image, 128)
    spectrum, plain = image_spectrum(photo), torch.fft.rfft2(photo, norm="ortho")
    turns = 128 * torch.hypot(torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128))
    limits = (2, 5, 12, 30, 128)
    images = [fft_image(spectrum * (turns <= limit), (128, 128)).clamp(0, 1) for limit in limits]
    print("vueltas     amplitud media   con tu espectro")
    for low, high in ((1, 4), (4, 16), (16, 64)):
        ring = (turns >= low) & (turns < high)
        sizes = plain[..., ring].abs().mean(), spectrum[..., ring].abs().mean()
        print(f"{low:2} a {high:2} {sizes[0]:18.2f} {sizes[1]:17.3f}")
    return image_grid(torch.cat(images), [f"hasta {n} vueltas" for n in limits[:-1]] + ["todas"], columns=5, size=2.0)


show(draw_spectrum, alt="El retrato de una astronauta, de una mancha borrosa a la foto, según se añaden ondas.")

# %% [markdown]
# ## Ejercicio 5 · La imagen que más enciende un canal
#
# *35 minutos · dificultad 5 de 5*
#
# Ya está todo: un objetivo, una cuesta y una manera de escribir la imagen que propone formas. Falta un truco. Si la
# imagen está siempre en el mismo sitio, el ascenso encuentra patrones que solo valen en esa posición exacta; si en
# cada paso la red la ve un poco **desplazada**, solo sobrevive lo que aguanta el movimiento.
#
# **Escribe** `maximize(model, layer, channel, *, size, steps, lr, jitter, generator)`.
#
# - `model`: la red; puede estar congelada. `layer`: nombre con puntos de una capa, cuya salida es `(N, C, h, w)` o
#   `(N, C)`. `channel`: el índice del canal.
# - `size`: la tupla `(H, W)` de la imagen. `steps`: cuántos pasos. `lr`: el tamaño del paso. `jitter`: el mayor
#   desplazamiento, en píxeles. `generator`: un `torch.Generator` de la CPU, de donde sale **todo** el azar.
# - **Devuelve** una imagen `(1, 3, H, W)` en [0, 1], sin grafo, del tipo y el dispositivo de los parámetros de la red.
#
# Lo que debe cumplir:
#
# 1. Se sube la **media espacial** del canal (si la salida es `(N, C)`, su valor). Ni *softmax*, ni la pérdida, ni los
#    demás canales, ni una sola posición.
# 2. Se parte de un gris medio con algo de **ruido**, sorteado con el generador.
# 3. La imagen está **siempre** en [0, 1], no solo al final: la red no debe ver otra cosa. Y lo que devuelves es esa
#    imagen, sin retoques.
# 4. El paso no depende de la escala del gradiente: mide alrededor de `lr` en los números con que escribes la imagen.
#    Adam lo hace. Con `lr=0`, la imagen no cambia.
# 5. En cada paso, **antes** de entrar en la red, la imagen se desplaza en círculo (`roll`) un número entero de píxeles
#    al azar en cada eje, de `−jitter` a `jitter`, los dos **incluidos**. Es solo para mirar: el gradiente vuelve a la
#    imagen sin desplazar, y la que devuelves está en su sitio. Con `jitter=0` no se mueve.
# 6. La misma semilla da la misma imagen; otra semilla, otra. El azar global no se toca.
# 7. La red queda como estaba, también si algo falla.
#
# Cómo escribes la imagen es cosa tuya: con `fft_image` y una sigmoide, con un número por píxel… El control que tiene
# que superar: separar el canal de su media en unas imágenes de ruido **más del doble** que la mejor de ellas. En las
# redes de la comprobación, además, se sabe dónde está el máximo, y hay que acercarse.


# %% nbgrader={"grade": false, "grade_id": "maximize", "locked": false, "schema_version": 3, "solution": true, "task": false}
def maximize(model, layer, channel, *, size=(64, 64), steps=128, lr=0.02, jitter=4, generator=None):
    """Imagen (1, 3, H, W), en [0, 1], que maximiza la media de un canal."""
    ### BEGIN SOLUTION
    height, width = size
    z = 0.01 * torch.randn(1, 3, height, width // 2 + 1, 2, generator=generator)  # parte real e imaginaria
    z = z.to(next(model.parameters())).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=lr, maximize=True)
    kept = {}
    hook = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.update(maps=output.clone()))
    try:
        for _ in range(steps):
            shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
            image = torch.sigmoid(fft_image(torch.view_as_complex(z), size))
            model(image.roll(shift, dims=(2, 3)))  # el gradiente deshace el desplazamiento por su cuenta
            (z.grad,) = torch.autograd.grad(kept["maps"][:, channel].mean(), z)
            optimizer.step()
    finally:
        hook.remove()
    return torch.sigmoid(fft_image(torch.view_as_complex(z.detach()), size))
    ### END SOLUTION
    raise NotImplementedError("Escribe aquí maximize: ruido, y en cada paso desplaza, mira el canal, deriva y sube.")


# %% [markdown]
# <details><summary>Pista 1: el esqueleto</summary>
#
# Es el ejemplo resuelto con otro objetivo. (a) Un tensor `z` con ruido del generador, en el tipo de
# `next(model.parameters())`; (b) `torch.optim.Adam([z], lr=lr, maximize=True)`; (c) un gancho que guarde la salida de
# la capa; (d) en cada paso: imagen, desplazamiento, red, derivada, `optimizer.step()`; (e) quitar el gancho en un
# `finally`.
# </details>
# <details><summary>Pista 2: de `z` a la imagen, y el desplazamiento</summary>
#
# Empieza por lo fácil, `torch.sigmoid(z)` con un número por píxel, y pasa después a ondas: `z` de forma `(1, 3, H,
# W//2 + 1, 2)` y `fft_image(torch.view_as_complex(z), size)`. El desplazamiento es `image.roll((dy, dx), dims=(2,
# 3))`. Si derivas respecto de `z`, el `roll` está dentro de la cuenta y no hay nada que deshacer.
# </details>
# <details><summary>Pista 3: el gancho y el azar</summary>
#
# `kept["maps"][:, channel].mean()` vale para `(1, C, h, w)` y para `(1, C)`. Que el gancho guarde `output.clone()`:
# si la siguiente capa es una ReLU que escribe encima, lo tuyo no cambia. `torch.randint` no incluye el límite de
# arriba: es `torch.randint(-jitter, jitter + 1, (2,), generator=generator)`.
# </details>

# %% nbgrader={"grade": true, "grade_id": "maximize-visible", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
grade("maximization.maximize", globals())

# %% nbgrader={"grade": true, "grade_id": "maximize-oculta", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
# Al calificar se prueban además otros casos; esta celda se deja como está.
### BEGIN HIDDEN TESTS
grade("maximization.maximize", globals(), hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Lo que acabas de conseguir.** Los dibujos que Teo pedía: un triángulo, una estrella, un corazón y una flecha como
# los «imagina» `mini`, hechos con tu función. Encima de cada uno, su logit; y al lado, en números, el de un control:
# la mejor de 200 escenas de verdad. El dibujo gana de lejos, y sin embargo…


# %%
def draw_classes():
    names, images = ("triángulo", "estrella", "corazón", "flecha"), []
    scenes = formas(200, seed=5).tensor()
    with torch.no_grad():
        best = mini(scenes).amax(0)
    for name in names:
        generator = torch.Generator().manual_seed(0)
        images.append(maximize(mini, "fc", SHAPES.index(name), steps=48, lr=0.02, jitter=4, generator=generator))
    found = torch.cat(images)
    with torch.no_grad():
        logits = [mini(x)[0, SHAPES.index(name)].item() for x, name in zip(images, names, strict=True)]
    print("figura       tu imagen   la mejor escena   variación total de tu imagen")
    for name, logit, variation in zip(names, logits, total_variation(found), strict=True):
        print(f"{name:10} {logit:11.1f} {best[SHAPES.index(name)]:17.1f} {variation:17.0f}")
    titles = [f"{name}: {logit:.0f}" for name, logit in zip(names, logits, strict=True)]
    return maximization_grid(found, titles)


show(draw_classes, alt="Cuatro imágenes de colores vivos que la red toma por triángulo, estrella, corazón y flecha.")

# %% [markdown]
# ## Para pensar
#
# Teo mira los dibujos y duda: «así que para la red una flecha es *esto*». Antes de darle la razón, responde en unas
# líneas: **¿qué *no* demuestra la imagen que maximiza una unidad?** Piensa en los números de la última tabla, y en qué
# pasaría con otra semilla.
#
# Esta respuesta no da ni quita puntos. La lee tu docente, que puede contestarte en la página de comentarios.

# %% [markdown] nbgrader={"grade": true, "grade_id": "reflexion", "locked": false, "points": 0, "schema_version": 3, "solution": true, "task": false}
# *(Para docentes: la pregunta vale 0 puntos a propósito. nbgrader la ofrece para corregir a mano y admite un comentario,
# pero la nota sale entera de las comprobaciones: una entrega correcta llega al máximo sin esperar a nadie.)*
#
# La imagen demuestra que *existe* una entrada que enciende mucho la unidad. No demuestra que la unidad sirva para
# detectar eso, ni que se encienda por eso con imágenes de verdad: el máximo está muy lejos de ellas (su logit es
# varias veces el de la mejor escena), y lo que la red hace tan lejos puede no tener que ver con lo que hace cerca.
# Tampoco es «el concepto» de la unidad: hay muchos máximos, y otra semilla, otra parametrización u otro desplazamiento
# dan otra imagen; parte de lo que parece bonito lo hemos puesto nosotros con el peso 1/f. No dice qué más la enciende
# (una unidad puede responder a varias cosas) ni qué la apaga, y no dice que la red *use* esa unidad para decidir. Para
# acercarse: comparar con las escenas que más la encienden, repetir con varias semillas y apagar la unidad a ver qué
# cambia.
#
# | nivel | qué contiene la respuesta |
# |---|---|
# | excelente | distingue «existe una entrada que la enciende» de «detecta eso en imágenes reales», da otro límite con su porqué (muchos máximos, la parametrización decide, respuesta múltiple, uso) y propone un control |
# | bien | da dos límites ciertos sin explicarlos del todo, o uno bien explicado |
# | insuficiente | dice solo que la imagen «sale rara», o la toma por lo que la red entiende por esa figura |

# %% [markdown]
# **Para seguir.** El capítulo 03 del libro compara píxeles y ondas, colores con y sin correlación y las imágenes de
# cada capa de `mini`, siempre al lado de las escenas que más encienden cada canal.
