import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type { SqlError } from "effect/sql/SqlError"
import { CHANNEL } from "./schema.ts"

/**
 * At most one announcement that has not been looked after: the rest of a burst is the same news, however long the reading
 * takes. Fails when the connection does.
 */
export const listen = Effect.fnUntraced(function* (connection: PgConnection) {
  const announced = yield* connection.listen(CHANNEL)
  const news = yield* Queue.dropping<void, SqlError>(1)
  yield* Queue.takeAll(announced).pipe(
    Effect.andThen(() => Queue.offer(news, undefined)),
    Effect.forever,
    Effect.catchCause((cause) => Queue.failCause(news, cause)),
    Effect.forkScoped
  )
  return news
})

/** Whether there is news; waits for it no longer than `ms`. */
export const awaitNews = (news: Queue.Dequeue<void, SqlError> | undefined, ms: number) =>
  news === undefined
    ? Effect.as(Effect.sleep(ms), false)
    : Effect.map(Effect.timeoutOption(Queue.take(news), ms), Option.isSome)
