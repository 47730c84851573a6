// Shows the products, collects an order and sends it. No framework, no build step.

const $ = (selector, from = document) => from.querySelector(selector);

/** Pieces by product id, in the order in which they were added. */
const order = new Map();
let products = [];
let api = "";

/** The JSON of an answer, or an error that says what the server said. */
async function ask(url, options) {
  const response = await fetch(url, options);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

function showProducts() {
  $("#notice").hidden = true;
  $("#products").replaceChildren(
    ...products.map((product) => {
      const card = $("#product").content.cloneNode(true);
      $("h3", card).textContent = product.name;
      $(".description", card).textContent = product.description;
      $(".price", card).textContent = product.price;
      const button = $("button", card);
      button.setAttribute("aria-label", `Add ${product.name}`);
      button.addEventListener("click", () => {
        order.set(product.id, (order.get(product.id) ?? 0) + 1);
        $("#answer").textContent = "";
        showOrder();
      });
      return card;
    }),
  );
}

function showOrder() {
  $("#order").hidden = false;
  $("#order button").disabled = order.size === 0;
  $("#lines").replaceChildren(
    ...[...order].map(([id, quantity]) => {
      const line = document.createElement("li");
      const name = document.createElement("span");
      const count = document.createElement("span");
      name.textContent = products.find((product) => product.id === id)?.name ?? id;
      count.textContent = `× ${quantity}`;
      line.append(name, count);
      return line;
    }),
  );
}

async function send(event) {
  event.preventDefault();
  const answer = $("#answer");
  answer.classList.remove("bad");
  $("#order button").disabled = true;
  try {
    const lines = [...order].map(([product, quantity]) => ({ product, quantity }));
    const placed = await ask(`${api}/orders`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ lines }),
    });
    order.clear();
    answer.textContent = `Thank you. Order ${placed.id}, ${placed.total}.`;
  } catch (error) {
    answer.classList.add("bad");
    answer.textContent = `That did not work: ${error.message}.`;
  }
  showOrder();
}

$("#order").addEventListener("submit", send);
try {
  ({ api } = await ask("config.json"));
  ({ products } = await ask(`${api}/products`));
  showProducts();
} catch (error) {
  $("#notice").classList.add("bad");
  $("#notice").textContent = `The products cannot be shown: ${error.message}.`;
}
