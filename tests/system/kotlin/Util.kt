@file:Suppress("unused", "UNUSED_PARAMETER")

package android.util

object Log {
    @JvmStatic
    fun i(tag: String?, message: String): Int = TODO()
}
