/** How this POP stands in the routing of its anycast addresses, the better the higher. */
export const levels = ["withdrawn", "degraded", "announced"] as const

/**
 * `announced`: clients that are nearest come here. `degraded`: it stays reachable, and routers that know another POP prefer that.
 * `withdrawn`: nobody comes here.
 */
export type Level = (typeof levels)[number]

export const rankOf = (level: Level): number => levels.indexOf(level)
