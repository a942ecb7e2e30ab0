// Package rabbitmq drives opgate by RabbitMQ's own client library, unmodified.
package rabbitmq
