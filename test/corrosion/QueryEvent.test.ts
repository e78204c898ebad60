import { assert, describe, it } from "@effect/vitest"
import { make } from "../../layers/corrosion/Lines.ts"
import { parse, type QueryEvent } from "../../layers/corrosion/QueryEvent.ts"

const cases: ReadonlyArray<readonly [line: string, event: QueryEvent | undefined]> = [
  [`{"columns":["id","app"]}`, { _tag: "Columns", columns: ["id", "app"] }],
  [`{"row":[1,["m1",null,2.5,[1,2]]]}`, { _tag: "Row", rowid: 1, cells: ["m1", null, 2.5, [1, 2]] }],
  [`{"eoq":{"time":8e-8,"change_id":0}}`, { _tag: "Eoq", changeId: 0 }],
  [`{"eoq":{"time":8e-8,"change_id":null}}`, { _tag: "Eoq", changeId: undefined }],
  [`{"eoq":{"time":8e-8}}`, { _tag: "Eoq", changeId: undefined }],
  [`{"change":["insert",2,["m2"],1]}`, { _tag: "Change", kind: "put", rowid: 2, cells: ["m2"], changeId: 1 }],
  [`{"change":["update",2,["m2"],2]}`, { _tag: "Change", kind: "put", rowid: 2, cells: ["m2"], changeId: 2 }],
  [`{"change":["delete",2,["m2"],3]}`, { _tag: "Change", kind: "delete", rowid: 2, cells: ["m2"], changeId: 3 }],
  [`{"error":"gone"}`, { _tag: "Error", error: "gone" }],
  [`{"of a later version":1}`, { _tag: "Other" }],
  ["{}", { _tag: "Other" }],
  ["", { _tag: "Other" }],
  ["null", undefined],
  ["[]", undefined],
  ["1", undefined],
  [`{"row":[1,["m1"]`, undefined],
  [`{"row":[1]}`, undefined],
  [`{"row":["1",["m1"]]}`, undefined],
  [`{"row":[-1,["m1"]]}`, undefined],
  [`{"row":{"0":1}}`, undefined],
  [`{"columns":[1]}`, undefined],
  [`{"columns":{}}`, undefined],
  [`{"eoq":{"change_id":"1"}}`, undefined],
  [`{"eoq":{"change_id":1.5}}`, undefined],
  [`{"eoq":null}`, undefined],
  [`{"error":{}}`, undefined],
  [`{"change":[2,"insert",["m2"],1]}`, undefined],
  [`{"change":["upsert",2,["m2"],1]}`, undefined],
  [`{"change":["insert",2,["m2"]]}`, undefined],
  [`{"change":["insert",2,["m2"],18446744073709551615]}`, undefined],
  [`{"change":["insert",2,null,1]}`, undefined]
]

/** The event of a line that is too long to be kept. */
const long = (line: string): QueryEvent | undefined => {
  const [found] = make(200).push(Buffer.from(`${line}\n`))
  return found === undefined ? undefined : parse(found)
}
const filling = "x".repeat(5_000)

describe("a line of an answer", () => {
  for (const [line, event] of cases) {
    it(`${line === "" ? "(empty)" : line}`, () => assert.deepStrictEqual(parse(line), event))
  }

  it("that is too long still says which row it is of", () => {
    const unreadable = { _tag: "Unreadable", first: 'm"1' } as const
    assert.deepStrictEqual(long(`{"row":[7,["m\\"1","${filling}"]]}`), { _tag: "Row", rowid: 7, cells: unreadable })
    assert.deepStrictEqual(long(`{"change":["update",7,["m\\"1","${filling}",3],12]}`), {
      _tag: "Change",
      kind: "put",
      rowid: 7,
      cells: unreadable,
      changeId: 12
    })
    assert.deepStrictEqual(long(`{"change":["delete",7,["${filling}","b"],12]}`), {
      _tag: "Change",
      kind: "delete",
      rowid: 7,
      cells: { _tag: "Unreadable", first: undefined },
      changeId: 12
    })
    assert.strictEqual(long(`{"error":"${filling}"}`)?._tag, "Error")
  })

  it("that is too long and says nothing is none", () => {
    assert.isUndefined(long(filling))
    assert.isUndefined(long(`{"change":["update",7,["a","${filling}"],"12"]}`))
    assert.isUndefined(long(`{"columns":["${filling}"]}`))
  })
})
