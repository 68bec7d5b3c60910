"""The strings of the tokenizer's golden file, in groups."""
import random
import unicodedata

from corpus import PLAIN, sentences

GROUPS = {
    "ascii": [
        "a", "A", "z", "the", "The", "THE", "red sphere", "Red Sphere", "RED SPHERE", "a red ball left of a blue cube",
        "hello", "hello world", "Hello, world!", "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaa",
        "xyzzy qwerty asdf", "thethethethe", "spherespherecube", "photo", "photograph", "photographs", "photographer",
        "underunderunder", "shinyshiny", "I'm don't can't won't it's", "rock'n'roll", "e-mail co-op x-ray", "a.b.c.d",
        "a painting of a tiger reading a book at night", "unknownword zzzq", "q", "Q", "J", "X Y Z",
    ],
    "punctuation": [
        ".", ",", "!", "?", ";", ":", "'", '"', "-", "--", "---", "...", "....", "!!!", "?!", "(a)", "[a]", "{a}", "<a>",
        "a/b\\c", "a & b", "a @ b # c $ d % e ^ f * g", "~`|_+=", "(red:1.2)", "((red)), [blue]", "a,b,c", "a , b , c",
        "\"quoted\"", "\u201cquoted\u201d \u2018single\u2019", "en\u2013dash em\u2014dash", "ellipsis\u2026", "\u00a1hola! \u00bfqu\u00e9?",
        "\u00ab guillemets \u00bb", "bullet \u2022 point", "50% off, 3 for $2", "C++ & C#", "a_b_c", "*bold* _it_", "5 < 6 > 4", "\u00a9 \u00ae \u2122",
    ],
    "digits": [
        "0", "7", "42", "1987", "3.14159", "1,000,000", "12:30", "8k", "4K UHD", "f/1.4", "2024-01-31", "+1 (555) 010-9999",
        "0x1F", "1e-5", "1/2", "\u00bd cup", "x\u00b2 + y\u00b3", "H\u2082O", "\u2460\u2461\u2462", "\u0661\u0662\u0663", "\u0967\u0968\u0969", "\u2163 \u2167", "00000000000000000000",
    ],
    "spaces": [
        "", " ", "  ", "          ", " a", "a ", " a ", "  a  b  ", "a  b", "a   b", "a\tb", "a\nb", "a\r\nb", "\n", "\t\t", "\n\na\n\n",
        "a \t \n b", "a\u00a0b", "a\u2003b", "a\u3000b", "\u3000", "a\u200ab", "a\u2028b", "a\u2029b", "a\u0085b", "a\u000bb", "a\u000cb", "\u00a0a\u00a0", "a\u1680b", "a\u202fb", "a\u205fb",
        "a , b . c", " . ", "a\u2581b", "\u2581", "\u2581\u2581a", "a \u2581 b",
    ],
    "invisible": [
        "a\u200bb", "a\u200cb", "a\u200db", "a\ufeffb", "\ufeffred", "a\u2060b", "a\u00adb", "\u200b", "\u200b\u200b", "red\u200b sphere", "red \u200b sphere",
        "a\u0000b", "a\u0001b", "a\u0007b", "a\u001fb", "a\u007fb", "a\u008fb", "a\u009fb", "a\u200eb\u200f", "\u202ared\u202c", "a\ufe0fb", "a\u180eb", "a\ufffdb", "a\uffffb", "a\ue000b", "\U000e0061a",
    ],
    "accents": [
        "caf\u00e9", "cafe\u0301", "CAF\u00c9", "CAFE\u0301", "cr\u00e8me br\u00fbl\u00e9e", "cre\u0300me bru\u0302le\u0301e", "\u00dcber", "U\u0308ber", "ni\u00f1o", "nin\u0303o", "gar\u00e7on na\u00eff",
        "sm\u00f8rrebr\u00f8d", "Stra\u00dfe", "STRASSE", "\u00e5ngstr\u00f6m \u212b \u00c5 A\u030a", "z\u0301a\u0328", "\u017c\u00f3\u0142\u0107", "\u010de\u0161tina", "\u0130stanbul \u0131", "\u1e9e", "\u0133 \u0132", "e\u0301\u0323", "\u1ec7 e\u0323\u0302 e\u0302\u0323",
        "a\u0301\u0301\u0301", "\u0301", "\u0301a", "q\u0307\u0323", "q\u0323\u0307", "\u03a9 \u2126", "K \u212a", "\u00b5 \u03bc", "\u017f\u0131\u0307", "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u01c4 \u01c6",
    ],
    "compatibility": [
        "\uff21\uff22\uff23 \uff52\uff45\uff44", "\uff11\uff12\uff13", "\uff01\uff1f", "\ufb01sh \ufb02at \ufb00 \ufb03 \ufb04 \ufb06", "\u2122\u2120\u2121", "\uff76\uff9e", "\uff8a\uff9f\uff8b\uff9f", "\u33a5 \u33a1", "\u2474 \u249c", "\u24b6\u24d1",
        "\ud55c\uae00 \u1112\u1161\u11ab", "\ufdfa", "\u2026\u2025", "\u2154 \u215b", "\U0001d400\U0001d41a \U0001d7d8", "\u210d\u2115", "\u1d43 \u2071", "\uff5e \u301c", "\ufe30", "\u2011\u2010", "\u02b0\u02b7", "\u2100 \u2116", "\uffe5 \uffe0", "\u32c0\u3358", "\u337f",
    ],
    "cjk": [
        "\u6771\u4eac", "\u6771\u4eac\u306e\u591c", "\u8d64\u3044\u7403 \u9752\u3044\u7acb\u65b9\u4f53", "\u7ea2\u8272\u7684\u7403\u5728\u84dd\u8272\u7684\u65b9\u5757\u5de6\u8fb9", "\ube68\uac04 \uacf5\uacfc \ud30c\ub780 \uc0c1\uc790", "\u4e00\u4e8c\u4e09\u56db\u4e94", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
        "\u30ab\u3099\u30ad\u3099", "\u30ac\u30ae", "\u6771\u4eac tower \u591c", "\u3001\u3002\u300c\u300d", "\U00020bb7\u91ce\u5bb6", "\uf900\u8c48", "\u1100\u1161\u1102", "\u3131\u3134\u3137", "\u3042\u3044\u3046\u3048\u304a",
    ],
    "scripts": [
        "\u0418\u0437\u043e\u0431\u0440\u0430\u0436\u0435\u043d\u0438\u0435 \u043a\u0440\u0430\u0441\u043d\u043e\u0433\u043e \u0448\u0430\u0440\u0430", "\u043a\u0440\u0430\u0441\u043d\u044b\u0439", "\u0439 \u0438\u0306", "\u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03b7 \u03c3\u03c6\u03b1\u03af\u03c1\u03b1", "\u03ba\u03bf\u0301\u03ba\u03ba\u03b9\u03bd\u03b7", "\u039a\u03cc\u03ba\u03ba\u03b9\u03bd\u03b7 \u03a3\u03c6\u03b1\u03af\u03c1\u03b1 \u03c2",
        "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0643\u064f\u0631\u064e\u0629\u064c \u062d\u064e\u0645\u0652\u0631\u0627\u0621", "\ufeb3\ufefc\ufee1", "\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0e33 \u0e4d\u0e32",
        "\u0531\u0580\u0565\u0582", "\u10d2\u10d0\u10db\u10d0\u10e0", "\u12a0\u121b\u122d\u129b", "\u1780\u17d2\u1798\u17c2\u179a", "\u0b95\u0bca\u0b95\u0bca", "\u0995\u09cb", "\u0f40\u0f71\u0f72", "\u13e3\u13b3\u13a9",
    ],
    "emoji": [
        "\U0001f600", "\U0001f600\U0001f600\U0001f600", "a \U0001f534 ball", "\U0001f44d\U0001f3fd", "\U0001f469\U0001f3ff\u200d\U0001f680", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\u2764\ufe0f", "\u2764", "\U0001f1eb\U0001f1f7\U0001f1ef\U0001f1f5",
        "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\u2600 sun \u2601 cloud", "red\U0001f534sphere", "\U0001f600 \U0001f600", "\u2640\ufe0f\u200d\u2642\ufe0f", "\U0001fae0",
    ],
    "unknown": [
        "~", "~~~~", "~ ~ ~", "a~b", "a~~b", "~a~", "~\u4e00^", "\u4e00\u4e8c a \u4e09\u56db", "a\U0001f600b\U0001f600\U0001f601c", "\u25a0\u25a1\u25aa", "^ ~ ^", "||", "$$$ a $$$",
    ],
    "special": [
        "</s>", "<pad>", "<unk>", "<s>", "a </s> b", "a</s>b", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "a <extra_id_5> b", "<extra_id_0><extra_id_1>",
        " <pad> ", "<PAD>", "<unk>a", "<0x41>", "[MASK]", "<|endoftext|>", "</s", "< /s>",
    ],
}


def groups():
    """Yields (group, string)."""
    for group, strings in GROUPS.items():
        for s in strings:
            yield group, s
    for line in PLAIN.splitlines()[::4]:
        yield "sentence", line
        yield "sentence", line.lower()
    for line in PLAIN.splitlines()[9:18]:
        yield "decomposed", unicodedata.normalize("NFD", line)
    for line in sentences()[120::15]:
        yield "caption", line
    rng = random.Random(5)
    yield "long", " ".join(sentences()[200:240])
    yield "long", "a" * 2100
    yield "long", "red" * 800
    yield "long", "\u6771\u4eac " * 700
    # text of mixed scripts: where the normaliser and the lattice meet
    pool = [c for c in "abcdeghilmnorstuy  .,'-AB19\u00e9\u0301\u00df\u0308\uff21\ufb01\u200b\u3000\u6771\u4e00\u0431\u03c3\ub780\U0001f600\u200d\ufe0f\u00bd\t~"]
    for n in (5, 9, 17, 33, 65, 130) * 4:
        yield "mixed", "".join(rng.choice(pool) for _ in range(n))
