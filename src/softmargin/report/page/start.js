// Draws everything once the sheet of pictures is decoded, then the table of contents.
async function begin() {
  if (sheet) {
    sheet.src = R.sheet.uri;
    await sheet.decode();
  }
  for (const draw of [summaryPanel, accuracyPanel, weightsPanel, worstPanel, confusionPanel, marginsPanel, pathPanel, convergencePanel, calibrationPanel, comparisonPanel, dataErrorsPanel, laboratoryPanel]) draw();
  // The longest word of the names of the classes, in letters: samples on small screens get that width, if possible.
  const longest = Math.max(...R.classes.flatMap((name) => name.split(/[\s-]+/)).map((word) => word.length));
  document.documentElement.style.setProperty("--word", Math.min(longest, 40));
  const links = panels.map(({ id, title }) => h("a", { href: "#" + id }, title));
  const nav = document.getElementById("nav");
  nav.append(...links);
  const hint = () => {
    nav.classList.toggle("more-left", nav.scrollLeft > 2);
    nav.classList.toggle("more-right", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 2);
  };
  nav.addEventListener("scroll", hint, { passive: true });
  new ResizeObserver(hint).observe(nav);
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) panels.forEach(({ id }, k) => links[k].setAttribute("aria-current", id === entry.target.id));
  }, { rootMargin: "-20% 0px -70% 0px" });
  panels.forEach(({ section }) => seen.observe(section));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));
  window.softmarginReport = Object.freeze({ Losses: Object.freeze({ ...Losses }), objectiveAt, ready: true });
}
begin();
