"""Training text of the tiny tokenizer: a few hundred sentences, all our own."""
import random

PLAIN = """\
The old lighthouse keeper wrote a letter to his sister every Sunday evening.
Rain fell softly on the tin roof while the kettle began to sing.
A photograph of a quiet harbour at dawn, soft light, long shadows.
Nobody had opened the blue door since the winter of 1987.
An oil painting of three pears and a glass of water on a wooden table.
She counted 12 boats, 7 gulls and 305 steps up to the tower.
Please don't touch the paint: it's still wet, isn't it?
"Where are we going?" asked the fox. "Nowhere special," said the hare.
The café served crème brûlée, jalapeño bread and piñata-shaped cookies.
Über den Bergen hing ein schöner, großer Mond; die Straße war leer.
Le garçon naïf a mangé une pêche près de la forêt enneigée.
El niño pequeño soñó con un pingüino que tocaba el tambor.
Smørrebrød and coffee, 4.50 each; open from 8:30 to 17:00.
Изображение красного шара на синем столе.
Κόκκινη σφαίρα πάνω σε γαλάζιο κύβο.
東京の夜 赤い球 青い立方体
红色的球在蓝色的方块左边
빨간 공과 파란 상자
A highly detailed render of a chrome robot reading a newspaper, 8k, studio lighting.
Watercolour sketch of a fishing village; muted colours, loose brush strokes.
Close-up portrait of an elderly woman with silver hair (85mm, f/1.4, shallow depth of field).
A tiny house made of bread & cheese, floating in the clouds!
Two astronauts playing chess on the moon, cinematic, volumetric fog.
Low angle shot of a red car driving fast along the coast at sunset.
The number pi is about 3.14159 and e is about 2.71828.
Visit the museum at 22 Baker Road, or call 555-0199 before noon.
It was neither a dream nor a memory, but something in between.
Mix 200 g of flour, 3 eggs, 1/2 cup of sugar and a pinch of salt.
Steam rose from the valley, and the train crossed the bridge without a sound.
The gardener planted lavender, rosemary and thyme beside the garden gate.
Children were throwing snowballs while their grandmother watched from the window.
An abandoned railway station overgrown with ivy, golden hour, photorealistic.
The baker's daughter delivered warm bread to the monastery before sunrise.
Scientists measured the temperature of the river for seventeen years.
A portrait of the queen in the style of a stained glass window, intricate details.
Mountains reflected perfectly in the still water of the lake, wide angle.
He opened the drawer, found nothing, and closed it without saying anything.
Isometric illustration of a cosy kitchen with plants, teapots and a sleeping cat.
The orchestra stopped playing when the conductor dropped his glasses.
Underwater cathedral with glowing jellyfish drifting between the columns.
My neighbour repairs clocks, typewriters and the occasional accordion.
Macro photography of a dewdrop on a spider's web, bokeh background.
The expedition returned with maps, feathers, and stories of floating islands.
Futuristic city skyline with flying cars, neon signs and heavy rain, cyberpunk.
Winter had come early, and the geese were already leaving for the south.
A wizard in a velvet robe pouring starlight into a bottle, digital art.
The train to Edinburgh leaves from platform nine at a quarter past eleven.
Pencil drawing of an old sailor mending a fishing net, cross-hatching.
Everything in the workshop smelled of sawdust, turpentine and coffee.
An aerial view of terraced rice fields following the curve of the hills.
The detective examined the footprints, then the broken lock, then the clock.
Knitted sweater with a pattern of reindeer and snowflakes on a white background.
A paper boat sailing down a gutter after the thunderstorm, shallow focus.
They built the bridge from granite and the towers from brick.
Minimalist poster of a mountain range in pastel colours, flat design, vector.
The librarian whispered that the third volume had been missing since Thursday.
Candles, pomegranates and a skull: a still life in the Dutch manner.
A dragon made of porcelain curled around a teacup, product photography.
Every morning the postman cycled past the windmill, whistling the same tune.
The desert road stretched ahead, straight and shimmering, towards the canyon.
Fantasy castle on a cliff above the sea, waterfalls, dramatic lighting, matte painting.
Grandfather taught us how to whittle, fish, and predict the weather.
Black and white photograph of a crowded market, film grain, 1950s.
The robot's hands were gentle, though it had been designed for mining.
Hot air balloons rising over a valley covered in morning mist.
Autumn leaves swirled across the empty playground like forgotten letters.
A bowl of ramen with egg, mushrooms and spring onions, overhead shot.
The carpenter measured twice, cut once, and still cursed afterwards.
Northern lights above a frozen fjord, long exposure, deep green and violet.
Steampunk octopus wearing a top hat and monocle, engraved illustration.
We climbed until the clouds were beneath us and the village disappeared.
Botanical print of mushrooms and ferns with handwritten labels.
The astronomer's telescope pointed at the rings of Saturn all night long.
Children's book illustration of a bear baking a birthday cake for a mouse.
A quiet alley in Kyoto after rain, paper lanterns, reflections on stone.
The fisherman's wife kept a parrot that could imitate the foghorn.
Low poly forest with a winding river, soft pastel gradient sky.
Sunflowers leaning against a whitewashed wall in the afternoon heat.
Nothing travels faster than a rumour in a small town, except perhaps bad weather.
Blueprint of an imaginary flying machine with wings of canvas and bamboo.
Blurry, low quality, bad anatomy, extra fingers, watermark, text, jpeg artefacts.
"""

SHAPES = ["sphere", "cube", "cylinder", "cone", "torus", "pyramid", "ball", "box", "ring", "capsule"]
COLOURS = ["red", "green", "blue", "yellow", "orange", "purple", "white", "black", "grey", "pink"]
SURFACES = ["matte", "shiny", "striped", "glass", "metal", "wooden", "rubber", "marble"]
PLACES = ["left of", "right of", "in front of", "behind", "on top of", "next to", "under", "between"]
GROUNDS = ["a sandy beach", "a green meadow", "a wooden floor", "a snowy field", "a checkered floor", "wet asphalt"]
TIMES = ["at noon", "at sunset", "at night", "in the morning", "under a cloudy sky", "in thick fog"]
STYLES = ["a photo of", "a painting of", "a drawing of", "an etching of", "a render of", "a sketch of"]
ANIMALS = ["cat", "dog", "horse", "elephant", "butterfly", "dragon", "owl", "whale", "rabbit", "tiger"]
ACTIONS = ["sleeping", "running", "dancing", "swimming", "reading a book", "riding a bicycle", "looking at the stars"]


def sentences(count=420, seed=7):
    """Hand-written lines plus generated captions, the same for a seed."""
    rng = random.Random(seed)
    out = [line for line in PLAIN.splitlines() if line]
    while len(out) < count:
        kind = rng.randrange(4)
        thing = lambda: f"{rng.choice(COLOURS)} {rng.choice(SURFACES)} {rng.choice(SHAPES)}"
        if kind == 0:
            s = f"{rng.choice(STYLES)} a {thing()} {rng.choice(PLACES)} a {thing()}"
        elif kind == 1:
            s = f"A {thing()} on {rng.choice(GROUNDS)} {rng.choice(TIMES)}."
        elif kind == 2:
            s = f"{rng.choice(STYLES)} a {rng.choice(ANIMALS)} {rng.choice(ACTIONS)} {rng.choice(TIMES)}"
        else:
            n = rng.randrange(2, 100)
            s = f"{n} {rng.choice(COLOURS)} {rng.choice(SHAPES)}s and {rng.randrange(1, 9)} {rng.choice(ANIMALS)}s, {rng.choice(TIMES)}"
        out.append(s if rng.random() < 0.7 else s[0].upper() + s[1:])
    return out
