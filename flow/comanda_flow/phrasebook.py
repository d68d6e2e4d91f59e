"""The engine's own sentences, in Spanish, English and Portuguese; a flow overrides any of them by its key.

They are Python rather than YAML because this room does no I/O.
"""

from __future__ import annotations

from functools import lru_cache
from string import Formatter

GENERAL_PLACEHOLDERS = frozenset(
    {"restaurant", "greeting", "name", "status", "hours", "address", "place", "cart", "total", "payment", "code"}
    | {"fulfilment_text", "notes"}
)
"""What any text may use."""

PHRASEBOOK: dict[str, dict[str, str]] = {
    # Opening hours
    "closed": {
        "es": "🕒 Ahora estamos cerrados. Abrimos {opening}.",
        "en": "🕒 We are closed now. We open {opening}.",
        "pt": "🕒 Agora estamos fechados. Abrimos {opening}.",
    },
    "closed_for_now": {
        "es": "🕒 Ahora estamos cerrados.",
        "en": "🕒 We are closed now.",
        "pt": "🕒 Agora estamos fechados.",
    },
    "closed_order": {
        "es": "{status} Puedes ver el menú y hacer tu pedido cuando abramos.",
        "en": "{status} You can look at the menu and order once we open.",
        "pt": "{status} Você pode ver o cardápio e pedir quando abrirmos.",
    },
    "opening_today": {"es": "hoy a las {time}", "en": "today at {time}", "pt": "hoje às {time}"},
    "opening_tomorrow": {"es": "mañana a las {time}", "en": "tomorrow at {time}", "pt": "amanhã às {time}"},
    "opening_day": {"es": "el {day} a las {time}", "en": "on {day} at {time}", "pt": "{day} às {time}"},
    "opening_date": {"es": "el {date} a las {time}", "en": "on {date} at {time}", "pt": "em {date} às {time}"},
    "always_open": {"es": "Abierto siempre", "en": "Always open", "pt": "Sempre aberto"},
    "day_off": {"es": "cerrado", "en": "closed", "pt": "fechado"},
    "day_0": {"es": "lunes", "en": "Monday", "pt": "segunda-feira"},
    "day_1": {"es": "martes", "en": "Tuesday", "pt": "terça-feira"},
    "day_2": {"es": "miércoles", "en": "Wednesday", "pt": "quarta-feira"},
    "day_3": {"es": "jueves", "en": "Thursday", "pt": "quinta-feira"},
    "day_4": {"es": "viernes", "en": "Friday", "pt": "sexta-feira"},
    "day_5": {"es": "sábado", "en": "Saturday", "pt": "sábado"},
    "day_6": {"es": "domingo", "en": "Sunday", "pt": "domingo"},
    # Lists and buttons
    "list_button": {"es": "Ver opciones", "en": "See options", "pt": "Ver opções"},
    "menu_button": {"es": "Ver menú", "en": "See menu", "pt": "Ver cardápio"},
    "more": {"es": "Más…", "en": "More…", "pt": "Mais…"},
    "order_button": {"es": "Hacer el pedido", "en": "Place order", "pt": "Fazer o pedido"},
    "add_button": {"es": "Agregar más", "en": "Add more", "pt": "Adicionar mais"},
    "remove_button": {"es": "Quitar algo", "en": "Remove something", "pt": "Tirar algo"},
    "clear_button": {"es": "Vaciar carrito", "en": "Empty the cart", "pt": "Esvaziar carrinho"},
    "edit_button": {"es": "Cambiar pedido", "en": "Change order", "pt": "Mudar pedido"},
    "yes_button": {"es": "Sí, confirmar", "en": "Yes, confirm", "pt": "Sim, confirmar"},
    "change_button": {"es": "Cambiar algo", "en": "Change something", "pt": "Mudar algo"},
    "cancel_button": {"es": "Cancelar", "en": "Cancel", "pt": "Cancelar"},
    "pickup_button": {"es": "Retiro en local", "en": "Pick-up", "pt": "Retirar no local"},
    "delivery_button": {"es": "Delivery", "en": "Delivery", "pt": "Entrega"},
    "other_address_button": {"es": "Otra dirección", "en": "Another address", "pt": "Outro endereço"},
    "other_district": {"es": "Otro sector", "en": "Somewhere else", "pt": "Outro bairro"},
    "skip_button": {"es": "No, gracias", "en": "No, thanks", "pt": "Não, obrigado"},
    "done_row": {"es": "Listo, nada más", "en": "Done, nothing else", "pt": "Pronto, mais nada"},
    # The menu and what is chosen from it
    "menu_empty": {
        "es": "Por ahora no tenemos nada disponible. ¡Vuelve pronto!",
        "en": "Nothing is available right now. Please come back soon!",
        "pt": "No momento não temos nada disponível. Volte em breve!",
    },
    "category_items": {"es": "*{category}*", "en": "*{category}*", "pt": "*{category}*"},
    "which_item": {
        "es": "¿Cuál prefieres de “{heard}”?",
        "en": "Which “{heard}” would you like?",
        "pt": "Qual “{heard}” você prefere?",
    },
    "these_items": {
        "es": "Esto tenemos. Toca lo que quieras agregar.",
        "en": "Here is what we have. Tap what you would like.",
        "pt": "Temos isto. Toque no que quiser adicionar.",
    },
    "choose_option": {
        "es": "*{item}*: elige {option}.",
        "en": "*{item}*: choose {option}.",
        "pt": "*{item}*: escolha {option}.",
    },
    "choose_extra": {
        "es": "*{item}*: ¿quieres {option}?",
        "en": "*{item}*: would you like {option}?",
        "pt": "*{item}*: quer {option}?",
    },
    "ask_quantity": {
        "es": "¿Cuántas unidades de *{item}*? Toca o escribe el número.",
        "en": "How many *{item}*? Tap or type the number.",
        "pt": "Quantas unidades de *{item}*? Toque ou escreva o número.",
    },
    "not_found": {
        "es": "No encontré en el menú: {words}.",
        "en": "I did not find on the menu: {words}.",
        "pt": "Não encontrei no cardápio: {words}.",
    },
    "unavailable": {
        "es": "{item} no está disponible hoy.",
        "en": "{item} is not available today.",
        "pt": "{item} não está disponível hoje.",
    },
    "withdrawn": {
        "es": "Saqué de tu pedido {item}, que ya no está disponible.",
        "en": "I took {item} out of your order: it is no longer available.",
        "pt": "Tirei {item} do seu pedido, porque não está mais disponível.",
    },
    "added": {"es": "Agregué {items}.", "en": "I added {items}.", "pt": "Adicionei {items}."},
    "taken_out": {"es": "Saqué {item}.", "en": "I removed {item}.", "pt": "Tirei {item}."},
    "not_in_cart": {
        "es": "Eso no está en tu pedido.",
        "en": "That is not in your order.",
        "pt": "Isso não está no seu pedido.",
    },
    "cart_full": {
        "es": "Tu pedido ya es muy grande; para agregar más, escribe “persona”.",
        "en": "Your order is very large already; to add more, write “person”.",
        "pt": "Seu pedido já está muito grande; para adicionar mais, escreva “pessoa”.",
    },
    # The cart
    "cart_empty": {"es": "Tu carrito está vacío.", "en": "Your cart is empty.", "pt": "Seu carrinho está vazio."},
    "which_line": {"es": "¿Qué saco de tu pedido?", "en": "What should I remove?", "pt": "O que eu tiro do pedido?"},
    "more_lines": {"es": "… y {count} más", "en": "… and {count} more", "pt": "… e mais {count}"},
    "subtotal": {"es": "Subtotal: {amount}", "en": "Subtotal: {amount}", "pt": "Subtotal: {amount}"},
    "delivery_fee": {"es": "Envío: {amount}", "en": "Delivery: {amount}", "pt": "Entrega: {amount}"},
    "delivery_fee_estimated": {
        "es": "Envío: {amount} (puede bajar si nos envías tu ubicación)",
        "en": "Delivery: {amount} (may be less if you send your location)",
        "pt": "Entrega: {amount} (pode diminuir se você enviar sua localização)",
    },
    "delivery_free": {"es": "Envío gratis", "en": "Free delivery", "pt": "Entrega grátis"},
    "total": {"es": "*Total: {amount}*", "en": "*Total: {amount}*", "pt": "*Total: {amount}*"},
    "payment_line": {"es": "💳 Pago: {ways}", "en": "💳 Payment: {ways}", "pt": "💳 Pagamento: {ways}"},
    "notes_line": {"es": "📝 {notes}", "en": "📝 {notes}", "pt": "📝 {notes}"},
    "to_address": {"es": "🛵 Delivery a {address}", "en": "🛵 Delivery to {address}", "pt": "🛵 Entrega em {address}"},
    "to_location": {
        "es": "🛵 Delivery a la ubicación que enviaste",
        "en": "🛵 Delivery to the location you sent",
        "pt": "🛵 Entrega na localização que você enviou",
    },
    "at_restaurant": {"es": "🏠 Retiro en {place}", "en": "🏠 Pick-up at {place}", "pt": "🏠 Retirada em {place}"},
    "nothing_to_repeat": {
        "es": "Todavía no tienes un pedido anterior.",
        "en": "You have no earlier order yet.",
        "pt": "Você ainda não tem um pedido anterior.",
    },
    # What is asked
    "only_pickup": {
        "es": "Por ahora solo tenemos retiro en local.",
        "en": "We only offer pick-up for now.",
        "pt": "Por enquanto só temos retirada no local.",
    },
    "only_delivery": {
        "es": "Por ahora solo hacemos delivery.",
        "en": "We only deliver for now.",
        "pt": "Por enquanto só fazemos entrega.",
    },
    "outside": {
        "es": "Lo siento, todavía no llegamos a esa dirección. ¿Prefieres retirar en el local?",
        "en": "Sorry, we do not deliver there yet. Would you rather pick it up?",
        "pt": "Desculpe, ainda não entregamos nesse endereço. Prefere retirar no local?",
    },
    "outside_only_delivery": {
        "es": "Lo siento, todavía no llegamos a esa dirección. ¿Tienes otra?",
        "en": "Sorry, we do not deliver there yet. Do you have another address?",
        "pt": "Desculpe, ainda não entregamos nesse endereço. Tem outro?",
    },
    "ask_district": {
        "es": "¿En qué sector está {place}?",
        "en": "Which area is {place} in?",
        "pt": "Em que bairro fica {place}?",
    },
    "that_place": {"es": "esa dirección", "en": "that address", "pt": "esse endereço"},
    "minimum": {
        "es": "El pedido mínimo es {minimum}: te faltan {missing}.",
        "en": "The minimum order is {minimum}: {missing} to go.",
        "pt": "O pedido mínimo é {minimum}: faltam {missing}.",
    },
    "address_short": {
        "es": "Necesito la calle y el número, por favor.",
        "en": "I need the street and number, please.",
        "pt": "Preciso da rua e do número, por favor.",
    },
    "send_location": {
        "es": "Necesito que envíes tu ubicación con el botón.",
        "en": "Please send your location with the button.",
        "pt": "Por favor, envie sua localização com o botão.",
    },
    "name_short": {
        "es": "¿Me dices tu nombre, por favor?",
        "en": "May I have your name, please?",
        "pt": "Qual é o seu nome, por favor?",
    },
    "location_noted": {
        "es": "📍 Anoté tu ubicación.",
        "en": "📍 I noted your location.",
        "pt": "📍 Anotei sua localização.",
    },
    "note_added": {"es": "Anotado: {notes}.", "en": "Noted: {notes}.", "pt": "Anotado: {notes}."},
    # When things are not clear
    "order_changed": {
        "es": "Tu pedido cambió desde ese resumen; este es el actual.",
        "en": "Your order has changed since that summary; this is the current one.",
        "pt": "Seu pedido mudou desde aquele resumo; este é o atual.",
    },
    "outdated": {
        "es": "Ese botón es de un momento anterior.",
        "en": "That button is from earlier.",
        "pt": "Esse botão é de um momento anterior.",
    },
    "misunderstood": {"es": "No te entendí bien.", "en": "I did not quite get that.", "pt": "Não entendi bem."},
    "misunderstood_again": {
        "es": "No te entendí. Puedes tocar un botón, escribir “menú” o pedir hablar con una “persona”.",
        "en": "I did not get that. Tap a button, write “menu”, or ask for a “person”.",
        "pt": "Não entendi. Toque em um botão, escreva “cardápio” ou peça para falar com uma “pessoa”.",
    },
    "unreadable": {
        "es": "Por ahora solo puedo leer texto, botones y ubicaciones. ¿Me lo escribes?",
        "en": "For now I can only read text, buttons and locations. Could you write it?",
        "pt": "Por enquanto só consigo ler texto, botões e localizações. Pode escrever?",
    },
    "greeting": {
        "es": "¡Hola! Bienvenido a {restaurant}.",
        "en": "Hello! Welcome to {restaurant}.",
        "pt": "Olá! Bem-vindo ao {restaurant}.",
    },
}

BUTTON_KEYS = frozenset(key for key in PHRASEBOOK if key.endswith("_button"))
"""Texts that become button titles: at most 20 characters."""
ROW_KEYS = frozenset({"more", "other_district", "done_row"})
"""Texts that become rows of lists: at most 24 characters."""


@lru_cache(maxsize=1024)
def placeholders_of(template: str) -> frozenset[str]:
    """Return the names in braces. Raises `ValueError` when braces do not match or hold more than a name."""
    fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template) if name is not None]
    if any(spec or conversion for _, spec, conversion in fields):
        raise ValueError("a placeholder is a plain name")
    return frozenset(name for name, _, _ in fields)
