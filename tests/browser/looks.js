// An expression whose value holds what looks.py measures with. It is evaluated in the page under test.
(() => {
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const named = (element) =>
    `${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 40)}`;
  const allShown = (selector) => [...document.querySelectorAll(selector)].filter(shown);

  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const parts = (color) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parts(getComputedStyle(at).backgroundColor));
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    return layers.reduceRight((below, top) => over(top, below), isDark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const luminance = (color) => {
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = color.map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };

  const contrasts = () => {
    const found = [];
    const measure = (element, style, what) => {
      const below = behind(element);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      found.push({ what, ratio: ratio(over(parts(style.color), below), below), least: isLarge ? 3 : 4.5 });
    };
    for (const element of allShown("body *")) {
      if (element.closest(":disabled, [aria-disabled=true], [aria-hidden=true], svg")) continue;
      if ([...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()))
        measure(element, getComputedStyle(element), named(element));
      if (element.placeholder)
        measure(element, getComputedStyle(element, "::placeholder"), `placeholder ${element.placeholder}`);
    }
    return found;
  };

  const smallTargets = (least) =>
    allShown("button, input:not([type=hidden]), select, textarea, [role=button], summary, [tabindex='0']")
      .map((element) => {
        const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
        return { what: named(element), width, height };
      })
      .filter(({ width, height }) => width && (width < least || height < least));

  const textOf = (ids) =>
    (ids ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const nameOf = (element) =>
    [
      element.getAttribute("aria-label"),
      textOf(element.getAttribute("aria-labelledby")),
      [...(element.labels ?? [])].map((label) => label.textContent).join(" "),
      element.matches("a, button") ? element.textContent : "",
    ].find((text) => text?.trim());

  const unlabelled = () => {
    const problems = [];
    for (const element of allShown("a[href], button, input:not([type=hidden]), select, textarea, dialog"))
      if (!nameOf(element)) problems.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    for (const id of new Set(ids))
      if (ids.filter((other) => other === id).length > 1) problems.push(`twice: #${id}`);
    for (const name of ["aria-describedby", "aria-labelledby", "aria-controls", "for"])
      for (const element of document.querySelectorAll(`[${name}]`))
        for (const id of element.getAttribute(name).split(" "))
          if (id && !document.getElementById(id)) problems.push(`${name} names no element: ${id}`);
    for (const image of document.images)
      if (!image.hasAttribute("alt")) problems.push(`no alt: ${image.src}`);
    if (!document.documentElement.lang) problems.push("no language");
    if (!document.title.trim()) problems.push("no title");
    if (allShown("main").length !== 1) problems.push("not one main");
    const levels = allShown("h1, h2, h3, h4").map((heading) => Number(heading.tagName[1]));
    if (levels[0] !== 1) problems.push(`the first heading is h${levels[0]}`);
    levels.forEach((level, at) => {
      if (at && level > levels[at - 1] + 1) problems.push(`h${levels[at - 1]} then h${level}`);
    });
    return problems;
  };

  return { contrasts, smallTargets, unlabelled };
})()
