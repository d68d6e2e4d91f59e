"""Words with a fixed meaning in Spanish, English and Portuguese, folded (no accents) and, where it says so, stemmed.

Languages are told apart only where a customer's language is guessed: people mix them, and a word means the same in
whichever sentence it stands.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS = {
    "un": 1, "una": 1, "uno": 1, "one": 1, "um": 1, "uma": 1, "otra": 1, "otro": 1, "another": 1, "outra": 1,
    "outro": 1, "dos": 2, "two": 2, "dois": 2, "duas": 2, "par": 2, "couple": 2, "tres": 3, "three": 3, "cuatro": 4,
    "quatro": 4, "four": 4, "cinco": 5, "five": 5, "seis": 6, "six": 6, "siete": 7, "sete": 7, "seven": 7, "ocho": 8,
    "oito": 8, "eight": 8, "nueve": 9, "nove": 9, "nine": 9, "diez": 10, "dez": 10, "ten": 10, "once": 11, "onze": 11,
    "eleven": 11, "doce": 12, "doze": 12, "twelve": 12, "quince": 15, "quinze": 15, "fifteen": 15, "veinte": 20,
    "vinte": 20, "twenty": 20,
}  # fmt: skip
DOZENS = _words("docena docenas dozen dozens duzia duzias")
HALVES = _words("media meia half")
TIMES = _words("x por")

JOINS = _words("y e and mas plus tambien ademas also tambem con with com luego")
"""Words between two wishes; inside a name they are skipped."""

LINKS = _words(
    """
    de del la las el los lo al y e o and or the of con with com da do das dos a an em en para for
    """
)
"""Words inside names that carry no meaning of their own."""

FILLERS = _words(
    """
    hola ola oi hello hi hey buenas buenos buen bom boa boas good dia dias tardes tarde noches noche noite
    morning afternoon evening quiero quisiera queria quero gostaria want would like id please por favor porfa
    porfavor pf pls dame deme denme das dan me te se nos mi my i im ill we us you can could may have get need
    necesito preciso pido pedir pedido orden ordenar order ordering encargar mandar manda mandas mandame mande traer
    trae traeme ponme pon poner agrega agregar agregame anade anadir suma sumale sumar add adicionar adiciona
    adicione puedo puedes podria podrias pode posso podes ser seria es eh pues entonces bueno ya listo ok okay
    gracias thanks thank obrigado obrigada que hacer hace un una unas unos algunas some of the la el los las lo
    de del y e and o con with para for a al en em in on to it is do da tambien also tambem ademas mas plus luego
    despues unidades unidad unidade porcion porciones porcao x vou vamos voy querer ver see show mostrar mostra
    muestrame mirar ahi aqui solo only so somente nomas gustaria tomar comer llevo quisieramos queremos deseo
    desearia desea hagame hazme amigo amiga estimado estimados consulta saludos todo bien como estas esta su tu
    your seu sua
    """
)
"""Words that may stand around an order or a wish without changing it."""

ORDERING = _words(
    """
    quiero quisiera agrega agregar agregame anade suma sumale add dame deme want quero queria tambien also
    tambem
    """
)
"""Words that begin an order even where an address is expected."""

REMOVING = _words(
    """
    quita quitar quitame saca sacar sacame elimina eliminar borra borrar remove delete tira tirar remova remover
    """
)
ASKING = _words(
    """
    cuanto cuanta cuesta cuestan vale valen precio precios tienen tienes tiene hay much price cost quanto custa
    custam tem preco
    """
)

NOTE_STARTS = _words(
    """
    sin without sem poco poca pouco pouca bien bem muy extra aparte well hold medio
    """
)
"""Words that begin a remark on a dish: `sin cebolla`, `bien cocida`."""

NOTE_LEADS = _words("sin without sem extra poco poca")
"""Those that may stand before the dish."""

NOTE_LABELS = _words("nota notas note comentario observacion observacao obs comment")
"""Words that begin a remark on the whole order: `nota: tocar el timbre`."""

YES = _words(
    """
    si sip sii siii sipi yes yep yeah yup y ok okay oki dale confirmo confirma confirmar confirmado confirmada
    confirm confirmed sure claro correcto perfecto perfect listo bueno vale sim isso certo pode beleza
    afirmativo acepto
    """
)
YES_COMPANY = _words(
    """
    por favor porfa please gracias thanks obrigado obrigada el la mi pedido orden order the my todo bien esta
    que asi tudo bem es eso it this is ser muchas
    """
)
"""Words that may stand beside a yes or a no."""

NO = _words("no nop nope nao non todavia aun not yet ainda")
DONE = _words(
    """
    nada mas ninguno ninguna ningun none nothing nenhum nenhuma listo done pronto eso es todo no nao sin sem
    """
)
"""Words that end a choice of extras."""

PICKUP = _words(
    """
    retiro retirar retirada retire pickup pick takeaway takeout llevar recoger recojo recogida buscar paso
    """
)
DELIVERY = _words(
    """
    delivery despacho domicilio envio enviar entrega entregar deliver delivered reparto despachar
    """
)
FULFILMENT_COMPANY = _words(
    """
    a al el la en un por para con de mi my up it i ill want would like quiero prefiero quero prefer yes si sim
    local tienda store casa home loja please favor porfa to go lo me voy vou come will collect at o no na que
    sea servicio in the shop mejor melhor better instead rather
    """
)
"""Words that may stand beside pick-up or delivery without being an address."""

STREETS = _words(
    """
    av avenida ave calle pasaje pje psje camino street st road rd rua travessa carrera cra jiron jr alameda
    autopista ruta
    """
)
"""Words that make an address likely."""

LANGUAGE_HINTS = {
    "es": _words(
        """
        hola buenas buenos quiero quisiera gracias por dame deme una dos con sin y retiro despacho domicilio el
        los las hablar ayuda carta cuanto tienen necesito puedo menu si pido agregar para
        """
    ),
    "en": _words(
        """
        hello hi hey want would like please the and two three with without order my thanks thank you can could
        have get good morning evening afternoon pickup yes help human what how much do does is are i id
        """
    ),
    "pt": _words(
        """
        oi quero gostaria uma duas dois voce voces obrigado obrigada bom boa cardapio sim nao sem com entrega
        retirada tudo bem tchau ajuda quanto tem preciso falar pessoa boas noite
        """
    ),
}
LANGUAGE_SURE = {
    "es": _words("hola quiero quisiera gracias buenas buenos dame hablar"),
    "en": _words("hello hi hey please thanks thank would want"),
    "pt": _words("oi quero gostaria obrigado obrigada cardapio voce nao sim"),
}
"""Words that settle the language by themselves."""
