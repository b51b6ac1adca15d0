// The page: its head, its four parts, and which of them the address names.

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Clips } from "./clip";
import { Drop } from "./drop";
import { Photos } from "./grid";
import { History } from "./history";
import { Live, live } from "./live";
import { NoticePage } from "./notice";
import { Said, Troubles } from "./say";
import { TokenDialog } from "./token";
import { Uses } from "./uses";
import { W } from "./words";

const PARTS = ["read", "history", "notice", "uses"] as const;
type Part = (typeof PARTS)[number];

/** "#history/4f2a" names the part "history" and the job "4f2a". */
function place(): { part: Part; id: string | null } {
  const [part = "", id] = location.hash.slice(1).split("/");
  return { part: PARTS.find((p) => p === part) ?? "read", id: id ? decodeURIComponent(id) : null };
}

const here = signal(place());
addEventListener("hashchange", () => {
  here.value = place();
});

export function App() {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const { part, id } = here.value;
  // before anything is painted: no moment has the new part under the old title, or the keys elsewhere
  useLayoutEffect(() => {
    document.title = part === "read" ? W.name : `${W.tabs[part]} · ${W.name}`;
    if (part !== "read") live.value = "off"; // nothing reads a camera that nobody sees
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [part, id]);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), main.current?.focus())}>
        {W.skip}
      </a>
      <header>
        <h1>
          <a href="#read">{W.name}</a>
        </h1>
        <p class="soft">{W.tagline}</p>
        <nav aria-label={W.nav}>
          {PARTS.map((p) => (
            <a key={p} href={`#${p}`} aria-current={p === part ? "page" : undefined}>
              {W.tabs[p]}
            </a>
          ))}
        </nav>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Troubles />
        {part === "read" ? <Read /> : null}
        {part === "history" ? <History key={id} id={id} /> : null}
        {part === "notice" ? <NoticePage /> : null}
        {part === "uses" ? <Uses /> : null}
      </main>
      <footer class="soft">
        <p>{W.meaning}</p>
      </footer>
      <Said />
      <TokenDialog />
    </>
  );
}

const Read = () => (
  <>
    <Drop />
    <Live />
    <Clips />
    <Photos />
  </>
);
