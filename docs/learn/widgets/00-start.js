// What every interactive part uses; a part is registered as widget("name", (options, data) => element).
const builders = {};
function widget(name, build) { builders[name] = build; }

// A number with its full value, for readers of the page by script; `id` names it.
const shown = (id, value, format = short, ...options) => h("data", { class: "shown", "data-id": id, value: String(value) }, format(value, ...options));

function start() {
  for (const place of document.querySelectorAll(".widget")) {
    const data = Object.fromEntries(place.dataset.data.split(" ").filter(Boolean).map((name) => [name, window.softmarginData[name]]));
    place.replaceChildren(builders[place.dataset.widget](JSON.parse(place.dataset.options), data));
  }
  // The theme of the site is an attribute that its button changes.
  new MutationObserver(themeChanged).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  window.softmarginReport = Object.freeze({ Losses: Object.freeze({ ...Losses }), objectiveAt, ready: true });
}
