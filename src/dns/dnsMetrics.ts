import * as Effect from "effect/Effect"
import { type Collector, counter, gauge, histogram, noLabels } from "../observe/Metric.ts"
import { ANSWER_BOUNDS, DnsCounters, drops, overs, rcodes, types } from "./DnsCounters.ts"

const questions = counter("edgeproxy_dns_questions_total", "DNS questions that could be read, by record type.")
const answers = counter(
  "edgeproxy_dns_answers_total",
  "DNS answers, by what they say; NODATA has no error and no record."
)
const truncated = counter("edgeproxy_dns_truncated_total", "Answers too long for UDP, which say so.")
const slipped = counter("edgeproxy_dns_slipped_total", "Answers beyond the rate limit that say: come over TCP.")
const dropped = counter("edgeproxy_dns_dropped_total", "Messages that got no answer.")
const open = gauge("edgeproxy_dns_connections_active", "TCP connections of DNS clients.")
const total = counter("edgeproxy_dns_connections_total", "TCP connections of DNS clients that were accepted.")
const evicted = counter(
  "edgeproxy_dns_connections_evicted_total",
  "TCP connections of DNS clients closed to make room."
)
const seconds = histogram(
  "edgeproxy_dns_answer_seconds",
  "Time to answer a DNS question, one of 16 measured.",
  ANSWER_BOUNDS
)

export const dnsMetrics = Effect.map(DnsCounters, (counters): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      for (const over of overs) {
        for (const type of types) sink.sample(questions, { over, type }, counters.questions[over][type])
        for (const rcode of rcodes) sink.sample(answers, { over, rcode }, counters.answers[over][rcode])
      }
      sink.sample(truncated, noLabels, counters.truncated.count)
      sink.sample(slipped, noLabels, counters.slipped.count)
      for (const reason of drops) sink.sample(dropped, { reason }, counters.dropped[reason])
      sink.sample(open, noLabels, counters.connections.open)
      sink.sample(total, noLabels, counters.connections.total)
      sink.sample(evicted, noLabels, counters.connections.evicted)
      sink.histogram(seconds, noLabels, counters.answerCells)
    })
}))
