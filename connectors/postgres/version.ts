/** Of the connector, as events and REST show it. */
export const VERSION = '1'
