addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, width = frame.clientWidth, problems = [], boxes = [];
    page.querySelectorAll("details").forEach((one) => (one.open = true));
    const told = (one) => one.tagName + "." + one.className.toString() + " " + (one.textContent || "").slice(0, 30);
    if (page.documentElement.scrollWidth > width) problems.push("the page scrolls sideways");
    for (const one of page.body.querySelectorAll("*")) {
      if (one.closest("svg") && one.tagName !== "svg") continue;
      if (one.tagName === "SCRIPT" || !one.checkVisibility()) continue;
      if (one.clientWidth && one.tagName !== "svg" && one.scrollWidth > one.clientWidth + 1) problems.push("cut: " + told(one));
      if (one.childElementCount && one.tagName !== "svg") continue;
      if (one.tagName !== "svg" && !one.textContent.trim()) continue;
      for (const box of one.getClientRects()) {
        if (!box.width || !box.height) continue;
        if (box.left < -0.5 || box.right > width + 0.5) problems.push("outside: " + told(one));
        boxes.push({ one, box });
      }
    }
    boxes.forEach((a, at) => {
      for (const b of boxes.slice(at + 1)) {
        if (a.one === b.one) continue;
        const over = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        if (over > 1 && down > 3) problems.push("overlap: " + told(a.one) + " / " + told(b.one));
      }
    });
    return { width, boxes: boxes.length, problems };
  });
  const out = document.createElement("pre");
  out.textContent = "MEASURED" + "[" + JSON.stringify(frames) + "]" + "MEASURED";
  document.body.replaceChildren(out);
});
