// Looks at an open page as a person does: is the verdict there, is anything cut, pale or missing?
(() => {
  const findings = new Set();
  const excerpt = (text) => text.trim().replace(/\s+/g, " ").slice(0, 50);
  const label = (element) => {
    const name = element.getAttribute("class");
    return element.tagName.toLowerCase() + (name ? "." + name.replace(/ /g, ".") : "");
  };
  const size = (element) => element.getBoundingClientRect();

  // The verdict, before anything is opened or scrolled.
  let verdict = null;
  const word = document.querySelector(".verdict .word");
  for (const part of [word, document.querySelector("h1"), document.querySelector(".next")]) {
    const box = part && size(part);
    if (!box || box.width === 0 || box.top < 0 || box.left < 0
        || box.right > innerWidth || box.top + 20 > innerHeight) {
      findings.add(`the verdict, its sentence or what to do next is not in the first screen: `
        + `${part ? label(part) : "missing"}`);
    } else if (part === word) {
      const middle = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      verdict = middle === word && box.bottom <= innerHeight ? word.textContent : null;
    }
  }

  // Nothing comes from elsewhere.
  for (const element of document.querySelectorAll("*")) {
    for (const attribute of element.attributes) {
      const loads = ["src", "href", "srcset", "data", "poster", "action", "xlink:href"];
      if (/https?:/.test(attribute.value) || loads.includes(attribute.name)) {
        findings.add(`${label(element)} refers to ${attribute.value}`);
      }
    }
  }
  for (const entry of performance.getEntriesByType("resource")) {
    findings.add(`the page loaded ${entry.name}`);
  }

  // Nothing is cut, also in what can be opened.
  for (const part of document.querySelectorAll("details")) part.open = true;
  if (document.documentElement.scrollWidth > innerWidth) {
    findings.add(`the page scrolls sideways: ${document.documentElement.scrollWidth} of ${innerWidth} px`);
  }
  for (const element of document.body.querySelectorAll("*:not(svg *)")) {
    const style = getComputedStyle(element);
    const wide = element.scrollWidth > element.clientWidth + 1;
    if (style.overflowX !== "visible" && element.clientWidth > 0 && wide) {
      findings.add(`${label(element)} is cut or scrolls sideways: ${element.scrollWidth} of `
        + `${element.clientWidth} px: ${excerpt(element.textContent)}`);
    }
  }

  // Pictures have a size and something on them, and their words can be read.
  for (const picture of document.querySelectorAll("svg, img, canvas")) {
    const box = size(picture);
    if (box.width < 40 || box.height < 20) findings.add(`${label(picture)} has no size`);
    const shapes = [...picture.querySelectorAll("path, rect, circle")];
    if (picture.tagName === "svg" && !shapes.some((s) => size(s).width + size(s).height > 2)) {
      findings.add(`${label(picture)} has nothing on it`);
    }
    const words = [...picture.querySelectorAll("text")].filter((t) => size(t).width > 0);
    const boxes = words.map(size);
    boxes.forEach((one, index) => {
      const text = words[index].textContent;
      if (one.left < -1 || one.right > innerWidth + 1 || one.left < box.left - 12
          || one.right > box.right + 12) {
        findings.add(`the words ${text} leave their picture`);
      }
      for (let other = 0; other < index; other += 1) {
        const two = boxes[other];
        const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
        const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
        if (across > 1 && down > 3) {
          findings.add(`the words ${text} and ${words[other].textContent} overlap`);
        }
      }
    });
  }

  // Every word has a contrast of 4.5 to what is behind it (WCAG 2.2, 1.4.3), and a size.
  const channels = (colour) => {
    const numbers = (colour.match(/[\d.]+/g) || []).map(Number);
    return numbers.length < 3 ? [0, 0, 0, 0] : [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = (front, back) =>
    [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = channels(getComputedStyle(at).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return layers.reduceRight((back, layer) => over(layer, back), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => {
      const share = c / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = 21;
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || ["STYLE", "SCRIPT", "title"].includes(element.tagName)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width === 0) continue;
    count += 1;
    if (box.right > innerWidth + 1 || box.left < -1) {
      findings.add(`the words ${excerpt(node.data)} are cut by the window`);
    }
    const style = getComputedStyle(element);
    const picture = element.closest("svg");
    const back = behind(element);
    const front = over(channels(picture ? style.fill : style.color), back);
    const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    least = Math.min(least, contrast);
    if (contrast < 4.5) {
      findings.add(`contrast ${contrast.toFixed(2)} in ${label(element)}: ${excerpt(node.data)}`);
    }
    const drawn = picture ? picture.getScreenCTM().a : 1;
    const height = parseFloat(style.fontSize) * drawn;
    if (height < (picture ? 8.9 : 11)) {
      findings.add(`words of ${height.toFixed(1)} px are too small: ${label(element)}: ${excerpt(node.data)}`);
    }
  }
  return { verdict, least, count, findings: [...findings].slice(0, 60) };
})()
