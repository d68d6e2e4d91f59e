'use strict'
// The peer: the same four messages and four answers on BuilderBot, as its documentation shows a flow; orders in memory.

const { MemoryDB, addKeyword, createBot, createFlow, createProvider } = require('@builderbot/bot')
const { MetaProvider } = require('@builderbot/provider-meta')

const MENU = { margarita: 8990, coca: 2490 }
const DELIVERY_FEE = 2500
const orders = []

function readOrder(text) {
  const lines = [...text.matchAll(/(\d+) (\w+)/g)].filter(([, , word]) => MENU[word])
  return lines.map(([, quantity, word]) => ({ word, quantity: Number(quantity), price: MENU[word] }))
}

const order = addKeyword(['quiero'])
  .addAction(async (ctx, { state }) => state.update({ lines: readOrder(ctx.body) }))
  .addAnswer('🛒 ¿Es para delivery o lo retiras?', { capture: true }, async (ctx, { state }) =>
    state.update({ fulfilment: ctx.body }),
  )
  .addAnswer('📍 ¿A qué dirección? Escríbela (calle, número y sector).', { capture: true }, async (ctx, { state }) =>
    state.update({ address: ctx.body }),
  )
  .addAnswer('🧾 Resumen de tu pedido. ¿Lo confirmo?', { capture: true })
  .addAction(async (ctx, { state, flowDynamic }) => {
    const { lines, fulfilment, address } = state.getMyState()
    const total = lines.reduce((sum, line) => sum + line.quantity * line.price, DELIVERY_FEE)
    orders.push({ from: ctx.from, lines, fulfilment, address, total })
    state.clear()
    await flowDynamic(`✅ ¡Pedido recibido! Tu código es *${orders.length}*. 💰 Total: $${total}`)
  })

async function main() {
  const provider = createProvider(MetaProvider, {
    jwtToken: 'peer-token',
    numberId: process.env.NUMBER_ID,
    verifyToken: 'peer-verify-token',
    version: 'v26.0',
  })
  const { httpServer } = await createBot({ flow: createFlow([order]), provider, database: new MemoryDB() })
  httpServer(Number(process.env.PORT))
}

main()
