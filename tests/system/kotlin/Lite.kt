@file:Suppress("unused", "UNUSED_PARAMETER")

package org.tensorflow.lite

import java.nio.ByteBuffer

interface Tensor {
    fun name(): String

    fun numBytes(): Int
}

class Interpreter(model: ByteBuffer, options: Options?) : AutoCloseable {
    class Options {
        fun setNumThreads(threads: Int): Options = TODO()
    }

    val inputTensorCount: Int get() = TODO()
    val outputTensorCount: Int get() = TODO()

    fun getInputTensor(index: Int): Tensor = TODO()

    fun getOutputTensor(index: Int): Tensor = TODO()

    fun runForMultipleInputsOutputs(inputs: Array<Any>, outputs: Map<Int, Any>): Unit = TODO()

    override fun close(): Unit = TODO()
}
