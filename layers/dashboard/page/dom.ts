/** The page's elements. Text goes in as text, always: nothing on this page is made from markup. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>
type Child = Node | string | number | undefined

const SVG = "http://www.w3.org/2000/svg"

const fill = <E extends Element>(element: E, attributes: Attributes, children: ReadonlyArray<Child>): E => {
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value)
  for (const child of children) if (child !== undefined) element.append(typeof child === "number" ? `${child}` : child)
  return element
}

/** Sets or takes away; what is as it should be is left alone. */
export const attribute = (element: Element, name: string, value: string | number | boolean | undefined): void => {
  if (value === undefined || value === false) return element.removeAttribute(name)
  const text = value === true ? "" : `${value}`
  if (element.getAttribute(name) !== text) element.setAttribute(name, text)
}

export const h = <Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): HTMLElementTagNameMap[Name] => fill(document.createElement(name), attributes, children)

export const svg = <Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): SVGElementTagNameMap[Name] => fill(document.createElementNS(SVG, name), attributes, children)

/** The element of the page with this id. */
export const byId = <E extends Element>(id: string, type: new () => E): E => {
  const element = document.getElementById(id)
  if (element instanceof type) return element
  throw new Error(`the page has no #${id}`)
}

/** Leaves what is already there alone: a selection in it stays. */
export const setText = (node: Element, text: string): void => {
  if (node.textContent !== text) node.textContent = text
}

export interface Row<A> {
  readonly element: Element
  readonly update: (item: A) => void
}

/** Keeps the children of an element in line with a list: an item that stays keeps its element, with focus and all. */
export const keyed = <A>(parent: Element, keyOf: (item: A) => string, make: (item: A) => Row<A>) => {
  const rows = new Map<string, Row<A>>()
  return (items: ReadonlyArray<A>): void => {
    const wanted = new Set(items.map(keyOf))
    for (const [key, { element }] of rows) {
      if (wanted.has(key)) continue
      element.remove()
      rows.delete(key)
    }
    let place = parent.firstElementChild
    for (const item of items) {
      const key = keyOf(item)
      const known = rows.get(key)
      const row = known ?? make(item)
      if (known === undefined) rows.set(key, row)
      row.update(item)
      if (row.element === place) place = place.nextElementSibling
      else parent.insertBefore(row.element, place)
    }
  }
}

/** A row of a table whose cells are texts; those named `number` are aligned to the right. The first one is its header. */
export const textRow = <A>(cells: ReadonlyArray<{ readonly number?: boolean; readonly text: (item: A) => string }>) => {
  return (item: A): Row<A> => {
    const elements = cells.map(({ number }, at) =>
      at === 0 ? h("th", { scope: "row" }) : h("td", { class: number === true ? "number" : undefined })
    )
    const update = (item: A): void =>
      cells.forEach(({ text }, at) => {
        const element = elements[at]
        if (element !== undefined) setText(element, text(item))
      })
    update(item)
    return { element: h("tr", {}, ...elements), update }
  }
}
